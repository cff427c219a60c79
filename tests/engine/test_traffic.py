"""Connections and their minutes."""

from gripproxy.engine.traffic import RouteTraffic, TrafficTable
from gripproxy.protocol.telemetry import Traffic


def figures(traffic: RouteTraffic) -> tuple[int, int, int]:
    return tuple(traffic.values[column] for column in (Traffic.CONNECTIONS, Traffic.CONNECTIONS_MAX, Traffic.MINUTES))


def test_a_minute_counts_when_it_begins() -> None:
    """One at the connect, one for each full minute after it."""
    table = TrafficTable(1000.9)
    traffic = table.of("")
    table.begin(4, traffic)
    assert figures(traffic) == (1, 1, 1)
    table.tick(1059.9)
    assert figures(traffic) == (1, 1, 1)
    table.tick(1060.1)
    assert figures(traffic) == (1, 1, 2)
    table.tick(1119.9)
    assert figures(traffic) == (1, 1, 2)
    assert table.end(4, traffic)
    table.tick(1200.0)
    assert figures(traffic) == (0, 1, 2)


def test_late_ticks_lose_no_minute_but_those_of_a_long_stop() -> None:
    """A worker that stood still for an hour has not served for it."""
    table = TrafficTable(0.0)
    traffic = table.of("")
    table.begin(1, traffic)
    table.tick(61.0)
    assert traffic.values[Traffic.MINUTES] == 2
    table.tick(3661.0)
    assert traffic.values[Traffic.MINUTES] == 3


def test_a_connection_ends_once() -> None:
    """Its id may be in other hands by then."""
    table = TrafficTable(0.0)
    traffic = table.of("r")
    assert not table.end(9, traffic)
    table.begin(9, traffic)
    assert table.end(9, traffic)
    assert not table.end(9, traffic)
    assert figures(traffic) == (0, 1, 1)
    assert not table.end(3, traffic)


def test_maximum_is_that_since_it_was_taken() -> None:
    """Reports show the peak of their interval."""
    table = TrafficTable(0.0)
    traffic = table.of("r")
    assert table.of("r") is traffic
    for conn_id in range(3):
        table.begin(conn_id, traffic)
    table.end(0, traffic)
    taken = table.take()
    assert taken["r"][Traffic.CONNECTIONS_MAX] == 3
    assert table.take()["r"][Traffic.CONNECTIONS_MAX] == 2
    traffic.values[Traffic.SENT] += 1
    assert taken["r"][Traffic.SENT] == 0, "a copy"


def test_traffic_of_a_websocket_counts_once_in_a_minute() -> None:
    """From its beginning on, which counts by itself; also after hours of silence."""
    table = TrafficTable(1000.0)
    traffic = table.of("")
    table.begin_frames(7)
    counts = []
    for now in (1000.0, 1059.9, 1060.0, 1060.5, 1119.9, 1120.1, 70_000.0, 70_001.0):
        table.tick(now)
        table.touch(7, traffic)
        counts.append(traffic.values[Traffic.ACTIVITY])
    assert counts == [0, 0, 1, 1, 1, 2, 3, 3]
    table.begin_frames(7)
    table.touch(7, traffic)
    assert traffic.values[Traffic.ACTIVITY] == 3


def test_connection_goes_on_with_its_minutes_where_another_worker_has_it() -> None:
    """It is neither counted anew nor does it lose what it has completed of a minute."""
    old, new = TrafficTable(1000.0), TrafficTable(990.0)
    traffic, other = old.of(""), new.of("")
    old.begin(4, traffic)
    for table in (old, new):
        table.tick(1045.0)
    new.take_over(7, other, old.age_s(4))
    assert old.end(4, traffic)
    assert figures(other) == (1, 1, 0)
    new.tick(1059.9)
    assert figures(other) == (1, 1, 0)
    new.tick(1060.0)
    assert figures(other) == (1, 1, 1)
    assert new.age_s(7) == 0 and new.end(7, other)


def test_socket_that_was_busy_elsewhere_is_busy_here() -> None:
    """Its minute of traffic counts once."""
    old, new = TrafficTable(1000.0), TrafficTable(0.0)
    traffic, other = old.of(""), new.of("")
    old.begin(4, traffic)
    old.begin_frames(4)
    for table in (old, new):
        table.tick(1040.0)
    new.take_over(7, other, old.age_s(4))
    new.take_over_frames(7, old.silence_s(4))
    new.touch(7, other)
    assert other.values[Traffic.ACTIVITY] == 0
    new.tick(1060.0)
    new.touch(7, other)
    assert other.values[Traffic.ACTIVITY] == 1
