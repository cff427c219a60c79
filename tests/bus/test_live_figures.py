"""Rates, quantiles and sums of two looks at the scoreboard."""

from typing import Any, cast

import pytest

from gripproxy.bus.live_figures import (
    HUB_FIELDS,
    KEPT_S,
    LOOK_GAP_S,
    WORKER_FIELDS,
    Look,
    Looks,
    describe,
    quantile_s,
)
from gripproxy.protocol.telemetry import Traffic
from gripproxy.scoreboard import BOUNDS_S, Field, Histogram, ProcessState, Scoreboard, observe


def look_at(board: Scoreboard, at: float, cpu_s: float | None = 0.0, **traffic: list[int]) -> Look:
    rows = [board.row(index).tolist() for index in range(board.rows_count)]
    return Look(at, rows, [cpu_s] * len(rows), traffic)


def described(looks: Looks, look: Look) -> dict[str, Any]:
    return cast(dict[str, Any], describe(looks, look))


def route_row(**columns: int) -> list[int]:
    row = [0] * len(Traffic)
    for name, value in columns.items():
        row[Traffic[name.upper()]] = value
    return row


def test_rates_are_of_the_time_between_two_looks() -> None:
    """Of each worker, and of all of them in one."""
    board, looks = Scoreboard(2), Looks()
    board.row(1)[Field.DELIVERIES] = 1_000
    looks.add(look_at(board, 10.0))
    board.row(1)[Field.DELIVERIES] += 30
    board.row(2)[Field.DELIVERIES] += 10
    document = described(looks, look_at(board, 12.0))
    assert document["window_s"] == 2.0
    assert [worker["per_s"]["deliveries"] for worker in document["workers"]] == [15.0, 5.0]
    assert document["total"]["per_s"]["deliveries"] == 20.0
    assert document["total"]["counts"]["deliveries"] == 1_040


def test_gauges_are_sums_and_have_no_rate() -> None:
    """Connections are now, not per second."""
    board, looks = Scoreboard(2), Looks()
    looks.add(look_at(board, 10.0))
    board.row(1)[Field.HELD_STREAMS] = 3
    board.row(2)[Field.HELD_STREAMS] = 4
    total = described(looks, look_at(board, 11.0))["total"]
    assert total["now"]["held_streams"] == 7
    assert "held_streams" not in total["per_s"]
    assert "held_streams" not in total["counts"]


def test_items_received_are_told_for_the_hub_and_for_workers_apart() -> None:
    """The same column is publishers' items in one and the bus's in the other: their sum would mean nothing."""
    board, looks = Scoreboard(1), Looks()
    board.row(0)[Field.ITEMS_RECEIVED] = 5
    board.row(1)[Field.ITEMS_RECEIVED] = 3
    document = described(looks, look_at(board, 1.0))
    assert document["hub"]["counts"]["items_received"] == 5
    assert document["total"]["counts"]["items_received"] == 3


def test_every_counter_belongs_to_a_process() -> None:
    """A field that is added later must not be missing here without anybody's notice."""
    states = {"STATE", "PID", "HEARTBEAT_MS", "WATCHED", "PACED_SLOT", "PACED_COUNT", "FIELD_COUNT"}
    assert {member.name for member in Field} - states == {member.name for member in (*HUB_FIELDS, *WORKER_FIELDS)}


def test_process_tells_state_heartbeat_and_cpu() -> None:
    """The CPU figure is of cores: 0.5 is half of one."""
    board, looks = Scoreboard(1), Looks()
    board.row(1)[Field.PID] = 77
    board.row(1)[Field.STATE] = ProcessState.READY
    looks.add(look_at(board, 10.0, cpu_s=1.0))
    board.row(1)[Field.HEARTBEAT_MS] = 11_600
    (worker,) = described(looks, look_at(board, 12.0, cpu_s=2.0))["workers"]
    assert {key: worker[key] for key in ("name", "pid", "state", "heartbeat_age_s", "cpu_cores")} == {
        "name": "worker 0",
        "pid": 77,
        "state": "ready",
        "heartbeat_age_s": 0.4,
        "cpu_cores": 0.5,
    }


@pytest.mark.parametrize(("new_pid", "cpu_s"), [(78, 2.0), (77, None)])
def test_process_that_was_replaced_or_is_gone_has_no_cpu_figure(new_pid: int, cpu_s: float | None) -> None:
    """The CPU time of one process less that of another is nothing."""
    board, looks = Scoreboard(1), Looks()
    board.row(1)[Field.PID] = 77
    looks.add(look_at(board, 10.0, cpu_s=1.0))
    board.row(1)[Field.PID] = new_pid
    (worker,) = described(looks, look_at(board, 12.0, cpu_s=cpu_s))["workers"]
    assert worker["cpu_cores"] is None


def test_counter_that_began_again_gives_no_negative_rate() -> None:
    """A route's sums begin at 0 with the hub."""
    board, looks = Scoreboard(1), Looks()
    looks.add(look_at(board, 10.0, r=route_row(requests=100)))
    (route,) = described(looks, look_at(board, 11.0, r=route_row(requests=2, connections=1)))["routes"]
    assert route == {
        "route": "r",
        "connections": 1,
        "counts": {"requests": 2, "sent": 0, "responses_sent": 0},
        "per_s": {"requests": 0.0, "sent": 0.0, "responses_sent": 0.0},
    }


def test_route_that_is_new_counts_from_nothing() -> None:
    """Its first requests are all of this second."""
    board, looks = Scoreboard(1), Looks()
    looks.add(look_at(board, 10.0))
    (route,) = described(looks, look_at(board, 12.0, r=route_row(requests=8)))["routes"]
    assert route["per_s"]["requests"] == 4.0


def test_rates_of_routes_are_of_some_seconds() -> None:
    """Workers tell of them once a second, so in one second there may be none or two of that."""
    board, looks = Scoreboard(1), Looks()
    for second, requests_count in enumerate([0, 10, 20, 30, 40, 60]):
        looks.add(look_at(board, 10.0 + second, r=route_row(requests=requests_count)))
    figures = described(looks, look_at(board, 16.0, r=route_row(requests=60)))
    assert figures["routes"][0]["per_s"]["requests"] == 10.0
    assert (figures["window_s"], figures["routes_window_s"]) == (1.0, 5.0)


def test_latencies_leave_out_what_was_before() -> None:
    """Yesterday's slow origin is not today's."""
    board, looks = Scoreboard(1), Looks()
    observe(board.row(1), Histogram.ORIGIN, 3.0, count=1_000)
    looks.add(look_at(board, 10.0))
    observe(board.row(1), Histogram.ORIGIN, 0.0015, count=2)
    latency = described(looks, look_at(board, 20.0))["total"]["latency"]["origin"]
    assert latency["count"] == 2
    assert 0.001 < latency["p50_s"] < latency["p99_s"] <= 0.0025


def test_quantile_lies_within_its_bucket() -> None:
    """By the rule of three, as Prometheus does it."""
    counts = [0] * (len(BOUNDS_S) + 1)
    assert quantile_s(counts, 0.5) is None
    counts[2] = 10  # 0.00025 to 0.0005
    assert quantile_s(counts, 0.5) == pytest.approx(0.000375)
    counts[-1] = 90  # beyond all bounds
    assert quantile_s(counts, 0.5) == BOUNDS_S[-1]


def test_two_who_look_at_once_do_not_spoil_each_others_rates() -> None:
    """A look of a moment ago is no base for a rate: an older one is."""
    looks, board = Looks(), Scoreboard(1)
    for at in (10.0, 11.0, 11.5, 12.1):
        looks.add(look_at(board, at))
    before = looks.before(12.2, 1.0)
    assert before is not None
    assert before.at == 11.0
    oldest = looks.before(12.2, 10.0)
    assert oldest is not None
    assert oldest.at == 10.0


def test_first_look_has_nothing_to_be_compared_with() -> None:
    """Neither has one after a long pause, nor one that follows at once."""
    looks, board = Looks(), Scoreboard(1)
    assert not looks.has_before(10.0)
    assert looks.before(10.0, 1.0) is None
    looks.add(look_at(board, 10.0))
    assert not looks.has_before(10.0 + LOOK_GAP_S / 2)
    assert looks.has_before(11.0)
    assert not looks.has_before(11.0 + KEPT_S)
    assert looks.before(11.0 + KEPT_S, 1.0) is None
    document = described(Looks(), look_at(board, 10.0))
    assert document["window_s"] == 0.0
    assert document["total"]["per_s"] == {}
