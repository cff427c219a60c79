"""What a screen of `gripproxy top` says, and that names cannot spoil it."""

import copy
from typing import Any, cast

import pytest

from gripproxy.top_frame import FrameLine, Style, age, cut, duration, printable, rate, render
from tests.control_site import busy_channel, stats_document


def document(**changes: object) -> dict[str, Any]:
    return {**stats_document(), **changes}


def texts(lines: list[FrameLine]) -> list[str]:
    return [line.text for line in lines]


def line_of(lines: list[FrameLine], start: str) -> FrameLine:
    (found,) = [line for line in lines if line.text.startswith(start)]
    return found


def test_frame_has_everything_there_is() -> None:
    """Of the proxy, of each process, of routes and channels."""
    lines = render(document(), 120)
    assert lines[0].text.startswith("gripproxy 1.2.3   up 1 d 02:03   ")
    assert "   1,234 streams   " in line_of(lines, "clients").text
    assert line_of(lines, "requests/s").text.startswith("requests/s   30.0 ")
    assert [line.text.split()[:4] for line in lines if line.text.startswith(("hub", "worker "))] == [
        ["hub", "ready", "100", "1%"],
        ["worker", "0", "ready", "101"],
        ["worker", "1", "ready", "102"],
    ]
    assert texts(lines)[-1].split() == ["4", "12.5", "50.0", "news"]
    assert any(text.split() == ["7", "0.0", "0.0", "shop"] for text in texts(lines))


def test_all_fits_the_terminal() -> None:
    """What does not fit is left out: a line that wraps would push the others from the screen."""
    lines = render(document(channels=[busy_channel("x" * 500)] * 50), 80, 24)
    assert len(lines) == 24
    assert max(map(len, texts(lines))) <= 80


def test_small_screen_has_a_part_of_everything() -> None:
    """Many workers must not push the channels from it, nor hide the one that hangs."""
    shown = copy.deepcopy(document(channels=[busy_channel(f"c{number}") for number in range(20)]))
    shown["workers"] = [{**shown["workers"][0], "name": f"worker {number}"} for number in range(56)]
    shown["workers"][50]["heartbeat_age_s"] = 7.2
    lines = render(shown, 80, 24)
    assert len(lines) == 24
    head = line_of(lines, "process").text
    assert all(title in head for title in ("cpu", "clients", "req/s", "deliv/s", "loop p99"))
    assert len(head) <= 80
    assert line_of(lines, "worker 50").style is Style.ALERT
    more = [line.text for line in lines if line.text.startswith("... and ")]
    shown_count = sum(line.text.startswith(("hub", "worker ")) for line in lines)
    assert more == [f"... and {57 - shown_count} more", lines[-1].text]
    assert any(line.text.endswith("   c0") for line in lines)
    assert any(line.text.endswith("   shop") for line in lines)
    for height in range(1, 40):
        assert len(render(shown, 80, height)) <= height


def test_drops_and_processes_in_trouble_stand_out() -> None:
    """What somebody looks for who was called at night."""
    shown = copy.deepcopy(document())
    assert line_of(render(shown, 120), "dropped/s").style is Style.PLAIN
    shown["total"]["per_s"]["dropped_slow"] = 3.0
    shown["workers"][0]["heartbeat_age_s"] = 7.2
    shown["workers"][1]["state"] = "dead"
    lines = render(shown, 120)
    assert line_of(lines, "dropped/s").style is Style.ALERT
    assert "slow 3.0" in line_of(lines, "dropped/s").text
    assert line_of(lines, "worker 0").style is Style.ALERT
    assert "hung 7 s" in line_of(lines, "worker 0").text
    assert line_of(lines, "worker 1").style is Style.ALERT
    assert line_of(lines, "hub").style is Style.PLAIN


def test_names_cannot_move_the_cursor() -> None:
    """A publisher may name a channel as it likes."""
    lines = render(document(channels=[busy_channel("a\x1b[2J\nb")]), 120)
    assert lines[-1].text.endswith(r"a\x1b[2J\nb")
    assert printable("\u202eevil") == r"\u202eevil"
    assert printable("caf\u00e9") == "caf\u00e9"


def test_wide_characters_take_two_columns() -> None:
    """Else a line of them would wrap."""
    assert cut("\u4f60\u597d", 3) == "\u4f60"
    assert cut("e\u0301e", 2) == "e\u0301e"
    assert cut("abc", 3) == "abc"


def test_quiet_proxy_says_so() -> None:
    """An empty table would look like a fault."""
    lines = render(document(channels=[], routes=[]), 120)
    assert texts(lines)[-1] == "no items in the last seconds"


@pytest.mark.parametrize("name", ["total", "hub", "workers"])
def test_document_of_another_version_is_noticed(name: str) -> None:
    """The command turns it into a sentence."""
    without = cast(dict[str, Any], {key: value for key, value in document().items() if key != name})
    with pytest.raises(KeyError):
        render(without, 120)


def test_numbers_are_laid_out_for_people() -> None:
    """In the unit that suits them."""
    assert [rate(value) for value in (None, 0.0, 99.94, 12_345.6)] == ["-", "0.0", "99.9", "12,346"]
    assert [duration(value) for value in (None, 0.00025, 0.0123, 2.5)] == ["-", "250 us", "12.3 ms", "2.50 s"]
    assert [age(value) for value in (None, 61.0, 90_000.0)] == ["-", "00:01:01", "1 d 01:00"]
