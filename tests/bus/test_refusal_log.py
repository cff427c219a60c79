"""Refused items: the first is logged at once, a flood as one line a second."""

from gripproxy.bus.refusal_log import RefusalLog


def test_first_refusal_is_logged_at_once() -> None:
    """Whoever tries out a publisher sees the reason immediately."""
    assert RefusalLog().note("bad item", now=10.0) == "bad item"


def test_flood_becomes_one_line_a_second_with_a_count() -> None:
    """A broken publisher must not fill the disk, and its size must still be seen."""
    log = RefusalLog()
    log.note("first", now=10.0)
    assert [log.note(f"bad {number}", now=10.5) for number in range(3)] == [None, None, None]
    assert log.flush(now=10.9) is None
    assert log.flush(now=11.0) == "bad 2 (3 items refused since the last line)"
    assert log.flush(now=13.0) is None


def test_refusal_after_a_quiet_second_is_logged_at_once() -> None:
    """The limit is one line a second, not one line for ever."""
    log = RefusalLog()
    log.note("first", now=10.0)
    assert log.note("second", now=11.0) == "second"


def test_refusal_after_a_flood_brings_the_count() -> None:
    """Without a flush in between nothing is lost either."""
    log = RefusalLog()
    log.note("first", now=10.0)
    log.note("second", now=10.1)
    assert log.note("third", now=11.5) == "third (2 items refused since the last line)"


def test_interval_may_be_longer() -> None:
    """Whoever comes again ten times a second need not be told of every second."""
    log = RefusalLog("attempts", interval_s=10.0)
    log.note("first", now=10.0)
    assert log.note("second", now=19.9) is None
    assert log.note("third", now=20.0) == "third (2 attempts refused since the last line)"
