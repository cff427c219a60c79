"""The report says what an upgrade cost, against the time without one."""

import json
from pathlib import Path

from benchmarks.upgrade.newcomers import Outcomes
from benchmarks.upgrade.report import encode, markdown, save
from benchmarks.upgrade.trial import Result, Round
from benchmarks.upgrade.watch import Seen

COUNTED = {"items": 500, "missing": 0, "doubled": 0, "reordered": 0, "foreign": 0, "damaged": 0}
TIMES = {"longest_delay_ms": 300.0, "longest_pause_ms": 900.0}


def result(*faults: str) -> Result:
    """Give a run of one upgrade."""
    seen = Seen(took_s=10.0, moving_s=4.0, new_cpu_s=3.0, old_cpu_s=2.0, peak_bytes=200 << 20)
    quiet = {**COUNTED, **TIMES, "cores": 0.1, "memory_bytes": 100 << 20}
    one = Round(seen, held_before=1000, held_after=1000, moved=1000, quiet=quiet, during=COUNTED | TIMES)
    one.newcomers, one.faults = Outcomes({"answered": 7, "cut off": 2}), list(faults)
    return Result({"connections": 1000, "workers": 2, "channels": 4}, {"kills": (), "publish_rate": 5.0}, {}, [one])


def test_cost_of_an_upgrade_is_what_it_takes_beyond_the_deliveries() -> None:
    """5 s of CPU, less a tenth of a core for 10 s, for 1,000 connections."""
    page = markdown(result())
    assert "| ... CPU for each, beyond the deliveries | 4,000 us |" in page
    assert "| ... per second | 250 |" in page
    assert "| ... refused, reset, cut off | 2 |" in page


def test_faults_are_told_and_make_the_run_bad() -> None:
    """With the number of the upgrade."""
    assert result().is_good
    assert not result("3 items doubled").is_good
    assert "Round 1: 3 items doubled." in markdown(result("3 items doubled"))


def test_what_is_saved_can_be_read_again(tmp_path: Path) -> None:
    """Page and data."""
    page, data = save(result(), tmp_path, has_picture=False)
    assert page.name == "upgrade-1000.md" and page.read_text() == markdown(result())
    assert json.loads(data.read_text())["rounds"] == json.loads(json.dumps(encode(result())))["rounds"]


def test_clients_that_stayed_are_read_from_what_the_command_said() -> None:
    """The first number is the highest."""
    said = ["process 7 has taken over", "30 clients are still with the old processes; they have 10 s"]
    assert Seen(said=[*said, "4 clients are still with the old processes; they have 10 s"]).stayed == 30
    assert Seen(said=said[:1]).stayed == 0
