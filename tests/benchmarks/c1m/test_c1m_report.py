"""The table, the verdicts, and the files that are kept."""

import dataclasses
import json
from pathlib import Path

from benchmarks.c1m.picture import draw, headlines, shown_phases
from benchmarks.c1m.report import ROWS, is_good, markdown, rows, save, terminal
from benchmarks.c1m.run import Result
from benchmarks.c1m.timeline import Phase, Sample, Timeline, decode_timeline
from tests.benchmarks.c1m.test_plan import plan_of

TIMELINE = Timeline(
    [Sample(1.0, 0, 50 << 20, 0), Sample(2.0, 1000, 60 << 20, 6 << 20)],
    [Phase("base", 0.0, 1.0), Phase("settle", 1.0, 1.5), Phase("idle", 1.5, 2.0)],
    [(0.5, 0.001), (1.5, None)],
)


def result_of(**figures: float) -> Result:
    """Give a run in which all went well, but for `figures`."""
    plan = dataclasses.asdict(plan_of("--connections", "1000"))
    good: dict[str, float] = {key: 0 for row in ROWS for key in row.keys}
    machine = {"commit": "abc", "processor": "CPU, 2 CPUs", "memory": "24 GiB"}
    return Result(plan, machine, figures=good | {"connections": 1000} | figures, timeline=TIMELINE)


def test_goals_are_held_against_the_figures() -> None:
    """A reader must see at once what was missed."""
    table = {
        label: goal for label, _, goal in rows(result_of(plain_new_p99_ms=36.0, base_worker_bytes=13 << 20).figures)
    }
    assert table["plain request p99, new connection each"] == "35 ms: MISSED"
    assert table["plain request p99, kept connection"] == "35 ms: met"
    assert table["base memory per worker (PSS)"] == "14 MiB: met"


def test_rows_without_figures_are_left_out() -> None:
    """A run that was stopped has measured less."""
    assert [label for label, *_ in rows({"connections": 5})] == ["connections held"]


def test_loss_is_a_failure_and_slowness_is_not() -> None:
    """The exit code tells a script whether the run counts."""
    assert is_good(result_of(plain_new_p99_ms=1000.0))
    for key in ("lost", "failures", "room_missing", "gripproxy_bus_gaps_total", "plain_all_failed"):
        assert not is_good(result_of(**{key: 1}))
    stopped = result_of()
    stopped.stopped = "memory guard"
    assert not is_good(stopped)


def test_a_stopped_run_says_so_everywhere() -> None:
    """Its figures must not pass for those of a whole one."""
    result = result_of(connections=600)
    result.stopped = "memory guard: 5 MiB left"
    assert "Stopped early: memory guard" in terminal(result)
    assert "Stopped early: memory guard" in markdown(result)
    assert (
        "stopped early"
        in headlines({"figures": result.figures, "machine": {}, "stopped": "x", "settings": result.plan})[0]
    )


def test_files_are_written_and_the_picture_can_be_drawn_again(tmp_path: Path) -> None:
    """The JSON holds the timeline, so a better picture needs no second run."""
    paths = save(result_of(), tmp_path, has_picture=True)
    assert [path.name for path in paths] == ["c1m-1000.md", "c1m-1000.json", "c1m-1000.png"]
    assert "![connections, memory and latency over time](c1m-1000.png)" in paths[0].read_text()
    data = json.loads(paths[1].read_text())
    assert decode_timeline(data["timeline"]) == TIMELINE
    assert data["machine"]["commit"] == "abc"
    draw(data, tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_websockets_have_their_own_goal_title_and_files(tmp_path: Path) -> None:
    """Their figures must not be written over those of streams."""
    result = result_of(user_slope_bytes_per_websocket=501)
    del result.figures["user_slope_bytes_per_connection"]
    result.plan["is_websocket"] = True
    table = {label: goal for label, _, goal in rows(result.figures)}
    assert table["... per connection (slope between a quarter and all)"] == "500 bytes: MISSED"
    assert terminal(result).startswith("1,000 held WebSockets, ")
    paths = save(result, tmp_path, has_picture=False)
    assert [path.name for path in paths] == ["c1m-websockets-1000.md", "c1m-websockets-1000.json"]
    assert headlines(json.loads(paths[1].read_text()))[0] == "1,000 WebSockets held by gripproxy"


def test_phases_of_one_name_are_one_in_the_picture() -> None:
    """Their borders say nothing to a reader."""
    assert shown_phases(TIMELINE.phases) == [Phase("start", 0.0, 1.0), Phase("keep-alives only", 1.0, 2.0)]
