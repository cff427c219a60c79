"""When the routes file is to be read again."""

import os
from pathlib import Path

from gripproxy.supervisor.routes_watch import LOOK_PERIOD_S, SETTLE_S, RoutesWatch, Signature, file_signature


class File:
    """A file that changes when the test says so."""

    def __init__(self) -> None:
        self.signature: Signature = (1, 1, 1, 1)
        self.looks_count = 0

    def look(self, path: str) -> Signature:
        self.looks_count += 1
        return self.signature


def due_times(watch: RoutesWatch, begin: float, end: float) -> list[float]:
    """Ask as often as a busy supervisor would."""
    times = []
    now = begin
    while now < end:
        if watch.is_reload_due(now):
            times.append(now)
        now += LOOK_PERIOD_S / 5
    return times


def test_unchanged_file_is_never_due() -> None:
    """And it is not looked at more often than planned, whatever wakes the supervisor."""
    file = File()
    watch = RoutesWatch("routes", file.look)
    assert due_times(watch, 0.0, 10.0) == []
    assert file.looks_count <= 10.0 / LOOK_PERIOD_S + 2


def test_reload_comes_some_time_after_the_first_change() -> None:
    """A file that is written in several steps is read once; one that never rests, all the same."""
    file = File()
    watch = RoutesWatch("routes", file.look)
    due_times(watch, 0.0, 1.0)
    file.signature = (1, 1, 2, 2)
    times = due_times(watch, 1.0, 1.9)
    file.signature = (1, 1, 3, 3)
    times += due_times(watch, 1.9, 5.0)
    assert len(times) == 1
    assert 1.0 + SETTLE_S <= times[0] <= 1.0 + SETTLE_S + 2 * LOOK_PERIOD_S


def test_change_after_the_reload_leads_to_another() -> None:
    """The readers may have come before it or after it."""
    file = File()
    watch = RoutesWatch("routes", file.look)
    file.signature = None
    assert len(due_times(watch, 0.0, 2.0)) == 1
    file.signature = (1, 2, 1, 1)
    assert len(due_times(watch, 2.0, 5.0)) == 1


def test_supervisor_wakes_for_the_next_look() -> None:
    watch = RoutesWatch("routes", File().look)
    assert watch.wait_s(5.0) == 0.0
    watch.is_reload_due(5.0)
    assert watch.wait_s(5.0) == LOOK_PERIOD_S


def test_every_way_to_change_a_file_is_seen(tmp_path: Path) -> None:
    """Written in place with the same size, replaced by rename, by turning a link, and removed."""
    first, second, third, link = (tmp_path / name for name in ("a", "b", "c", "link"))
    for path in (first, second, third):
        path.write_text("x")
        os.utime(path, ns=(1, 1))
    link.symlink_to(first)
    seen = [file_signature(str(link))]
    os.utime(first, ns=(2, 2))
    seen.append(file_signature(str(link)))
    os.replace(second, first)
    seen.append(file_signature(str(link)))
    (tmp_path / "new").symlink_to(third)
    os.replace(tmp_path / "new", link)
    seen.append(file_signature(str(link)))
    link.unlink()
    seen.append(file_signature(str(link)))
    assert len(set(seen)) == 5
    assert seen[-1] is None
