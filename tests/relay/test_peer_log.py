"""A peer that cannot get in does not fill the disk."""

from gripproxy.relay.peer_log import LINES_MAX_COUNT, PERIOD_S, PeerLog


def test_lines_are_few_and_the_rest_is_counted() -> None:
    lines = PeerLog()
    said = [lines.note("host a connected", 5.0) for _ in range(LINES_MAX_COUNT + 3)]
    assert said == ["host a connected"] * LINES_MAX_COUNT + [None] * 3
    later = 5.0 + PERIOD_S
    assert lines.note("host a left", later) == "host a left (before it, 3 more came or left)"
    assert lines.note("host b connected", later) == "host b connected"
