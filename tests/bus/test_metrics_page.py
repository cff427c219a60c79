"""The metrics page: names, labels and who has which number."""

import re

from gripproxy.bus.metrics_page import encode_metrics
from gripproxy.scoreboard import Field, ProcessState, Scoreboard


def page(scoreboard: Scoreboard, prefix: str = "") -> list[str]:
    rows = [scoreboard.row(index) for index in range(scoreboard.rows_count)]
    return encode_metrics(rows, prefix).decode().splitlines()


def test_numbers_carry_their_process() -> None:
    """A worker that behaves unlike its siblings must be seen."""
    scoreboard = Scoreboard(2)
    scoreboard.row(0)[Field.ITEMS_SENT] = 7
    scoreboard.row(2)[Field.HELD_STREAMS] = 5
    scoreboard.row(0)[Field.STATE] = ProcessState.READY
    lines = page(scoreboard)
    assert 'gripproxy_items_sent_total{process="hub"} 7' in lines
    assert 'gripproxy_held_streams{process="worker-0"} 0' in lines
    assert 'gripproxy_held_streams{process="worker-1"} 5' in lines
    assert 'gripproxy_up{process="hub"} 1' in lines
    assert 'gripproxy_up{process="worker-0"} 0' in lines


def test_rows_show_only_what_they_count() -> None:
    """A zero that nobody ever counts would be read as a fact."""
    lines = page(Scoreboard(1))
    assert not any(line.startswith('gripproxy_requests_total{process="hub"}') for line in lines)
    assert not any(line.startswith('gripproxy_items_refused_total{process="worker-0"}') for line in lines)


def test_every_metric_has_its_help_and_type_before_it() -> None:
    """The text format's rules; counters are told from gauges by their name too."""
    lines = page(Scoreboard(1), prefix="site_")
    seen = {}
    for line in lines:
        if match := re.fullmatch(r"# TYPE (\w+) (gauge|counter)", line):
            seen[match[1]] = match[2]
            assert (match[2] == "counter") == match[1].endswith("_total")
        elif not line.startswith("# HELP "):
            match = re.fullmatch(r'(\w+)\{process="[\w-]+"\} \d+', line)
            assert match is not None, line
            assert match[1] in seen
            assert match[1].startswith("site_gripproxy_")
    assert len(seen) == len(set(seen))


def test_every_counter_of_the_scoreboard_is_shown() -> None:
    """A field that somebody adds must not be forgotten here."""
    scoreboard = Scoreboard(1)
    internal = {Field.STATE, Field.PID, Field.HEARTBEAT_MS, Field.FIELD_COUNT}
    for field in set(Field) - internal:
        scoreboard.row(0)[field] = scoreboard.row(1)[field] = 1000 + field
    shown = {int(line.rpartition(" ")[2]) - 1000 for line in page(scoreboard) if not line.startswith("#")}
    assert set(Field) - internal <= shown
