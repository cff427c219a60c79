"""The metrics page: names, labels and who has which number."""

import os
import re
import subprocess

import pytest

from gripproxy.bus.metrics_page import MetricsPage
from gripproxy.protocol.telemetry import Traffic
from gripproxy.scoreboard import BOUNDS_S, Field, Histogram, ProcessState, Scoreboard, observe
from tests.installed import require

SAMPLE = re.compile(r'(\w+)(?:\{((?:\w+="(?:[^"\\\n]|\\["\\n])*",?)+)\})? (\d+(?:\.\d+)?)')
INTERNAL = {  # notes of processes for each other; and the hub's sum of what is shown by input
    Field.STATE,
    Field.PID,
    Field.HEARTBEAT_MS,
    Field.WATCHED,
    Field.PACED_SLOT,
    Field.PACED_COUNT,
    Field.FIELD_COUNT,
    Field.SUCCEEDED,
}


def page(scoreboard: Scoreboard, prefix: str = "", routes: dict[str, list[int]] | None = None) -> list[str]:
    rows = [scoreboard.row(index) for index in range(scoreboard.rows_count)]
    return MetricsPage(len(rows) - 1, prefix).encode(rows, routes or {}).decode().splitlines()


def traffic(**columns: int) -> list[int]:
    return [columns.get(column.name.lower(), 0) for column in Traffic]


def promtool_complaints(text: str) -> list[str]:
    """Give what Prometheus's own tool has to say about a page."""
    require("promtool")
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, 3), done.stderr  # 3: it reads it, and would do something else
    return done.stderr.splitlines()


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
    assert not any(line.startswith('gripproxy_requests_total{process="hub"') for line in lines)
    assert not any(line.startswith('gripproxy_items_refused_total{process="worker-0"') for line in lines)
    assert not any(line.startswith('gripproxy_bus_delay_seconds_count{process="hub"') for line in lines)


def test_every_metric_has_its_help_and_type_before_it() -> None:
    """The text format's rules: each sample is of the metric whose type was told last, and no metric comes twice."""
    seen: dict[str, str] = {}
    for line in page(Scoreboard(2), "site_", {"": traffic()}):
        if match := re.fullmatch(r"# TYPE (\w+) (gauge|counter|histogram)", line):
            assert match[1] not in seen
            seen[match[1]] = match[2]
        elif not line.startswith("# HELP "):
            sample = SAMPLE.fullmatch(line)
            assert sample is not None, line
            name, kind = list(seen.items())[-1]
            suffix = sample[1].removeprefix(name)
            assert suffix in (("_bucket", "_sum", "_count") if kind == "histogram" else ("",)), line
            assert name.startswith("site_")


def test_no_sample_comes_twice() -> None:
    """Prometheus refuses the whole page if one does."""
    names = [line.rpartition(" ")[0] for line in page(Scoreboard(3)) if not line.startswith("#")]
    assert len(names) == len(set(names)) > 100


def test_promtool_finds_nothing_but_the_names_that_are_given() -> None:
    """What is gripproxy's own follows Prometheus's customs. Pushpin's five names are what they are."""
    scoreboard = Scoreboard(2)
    for index in range(3):
        observe(scoreboard.row(index), Histogram.LOOP, 0.003)
    text = "\n".join(page(scoreboard, routes={"": traffic(sent=3), 'a "\\\n\udce4': traffic()})) + "\n"
    given = ("request_received", "connection_minute", "message_received", "message_sent")
    assert promtool_complaints(text) == sorted(f'{name} counter metrics should have "_total" suffix' for name in given)
    assert promtool_complaints("x_total{} 1\nx_total 1\n")


def test_every_counter_of_the_scoreboard_is_shown() -> None:
    """A field that somebody adds must not be forgotten here."""
    scoreboard = Scoreboard(1)
    for field in set(Field) - INTERNAL:
        scoreboard.row(0)[field] = scoreboard.row(1)[field] = 1_000_000 + field
    # The idle ones are what is left of all.
    scoreboard.row(1)[Field.CONNECTIONS] += 10_000_000
    shown = {line.rpartition(" ")[2] for line in page(scoreboard) if not line.startswith("#")}
    missing = {field for field in set(Field) - INTERNAL if str(1_000_000 + field) not in shown}
    assert missing == {Field.CONNECTIONS}


def test_sum_over_the_states_is_the_number_of_connections() -> None:
    """Labels count nobody twice."""
    scoreboard = Scoreboard(2)
    for index, (connections, streams, responses, sockets, exchanges) in enumerate(
        ((15, 4, 2, 5, 1), (3, 0, 0, 0, 5)), 1
    ):
        row = scoreboard.row(index)
        row[Field.CONNECTIONS], row[Field.HELD_STREAMS], row[Field.HELD_WEBSOCKETS] = connections, streams, sockets
        row[Field.HELD_RESPONSES], row[Field.EXCHANGES] = responses, exchanges
    lines = page(scoreboard)
    states = ("idle", "active", "stream", "response", "ws")
    found = [
        [
            int(line.rpartition(" ")[2])
            for state in states
            for line in lines
            if line.startswith(f'gripproxy_connections{{process="worker-{index}",state="{state}"}} ')
        ]
        for index in (0, 1)
    ]
    # Counted at different moments of a turn they may not fit; a number below 0 would be no number of connections.
    assert found == [[3, 1, 4, 2, 5], [0, 5, 0, 0, 0]]


def test_histogram_adds_its_buckets_up() -> None:
    """Prometheus's buckets hold all that is below their bound; the last one and the count are all."""
    scoreboard = Scoreboard(1)
    row = scoreboard.row(1)
    observe(row, Histogram.BUS, 0.0002, 3)
    observe(row, Histogram.BUS, 0.02, 2)
    observe(row, Histogram.BUS, 99.0)
    observe(row, Histogram.WRITE, 0.5)
    lines = page(scoreboard)
    metric = "gripproxy_bus_delay_seconds"
    buckets = [line for line in lines if line.startswith(f"{metric}_bucket")]
    assert len(buckets) == len(BOUNDS_S) + 1
    counts = [int(line.rpartition(" ")[2]) for line in buckets]
    assert counts == [0] + [3] * 6 + [5] * 9 + [6]
    assert buckets[1].startswith(metric + '_bucket{process="worker-0",le="0.00025"} ')
    assert buckets[-1].startswith(metric + '_bucket{process="worker-0",le="+Inf"} ')
    assert metric + '_sum{process="worker-0"} 99.0406' in lines
    assert metric + '_count{process="worker-0"} 6' in lines
    assert 'gripproxy_publish_write_seconds_sum{process="worker-0"} 0.5' in lines


def test_routes_carry_their_id() -> None:
    """Text of a configuration must not break the page."""
    routes = {
        "": traffic(connections=2, requests=9, sent=5, responses_sent=2),
        'a"b\\c\n': traffic(connections=1, requests=4),
    }
    lines = page(Scoreboard(1), routes=routes)
    assert 'gripproxy_route_connections{route=""} 2' in lines
    assert 'gripproxy_route_connections{route="a\\"b\\\\c\\n"} 1' in lines
    assert 'gripproxy_route_requests_total{route=""} 9' in lines
    assert 'gripproxy_route_receptions_total{route="",mode="stream"} 3' in lines
    assert 'gripproxy_route_receptions_total{route="",mode="response"} 2' in lines


def test_processes_are_looked_at_from_outside() -> None:
    """One that hangs cannot tell its age itself; one that is not there has used no CPU."""
    scoreboard = Scoreboard(1)
    scoreboard.row(0)[Field.PID] = os.getpid()
    values = dict(line.split(" ") for line in page(scoreboard) if not line.startswith("#"))
    assert float(values['gripproxy_cpu_seconds_total{process="hub"}']) > 0
    assert float(values['gripproxy_cpu_seconds_total{process="worker-0"}']) == 0
    assert float(values['gripproxy_heartbeat_age_seconds{process="hub"}']) > 0


@pytest.mark.parametrize("prefix", ["", "site_"])
def test_pushpins_metrics_come_first(prefix: str) -> None:
    """Who reads both servers by position, or stops at the first that he does not know, finds the same."""
    metrics = [line.split(" ")[2] for line in page(Scoreboard(1), prefix) if line.startswith("# TYPE ")]
    names = ["request_received", "connection_connected", "connection_minute", "message_received", "message_sent"]
    assert metrics[:5] == [prefix + name for name in names]
    assert all(metric.startswith(f"{prefix}gripproxy_") for metric in metrics[5:])
