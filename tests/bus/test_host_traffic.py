"""Traffic of several workers, of their predecessors, and of intervals."""

from gripproxy.bus.host_traffic import HostTraffic
from gripproxy.protocol.telemetry import Traffic, TrafficRecord


def told(worker_index: int, pid: int = 1, route: str = "", **columns: int) -> TrafficRecord:
    values = [0] * len(Traffic)
    for name, value in columns.items():
        values[Traffic[name.upper()]] = value
    return TrafficRecord(worker_index, pid + 10 * worker_index, {route: values})


def total(traffic: HostTraffic, column: Traffic, route: str = "") -> int:
    return traffic.totals()[route][column]


def test_sums_of_workers_are_added_by_route() -> None:
    """A worker tells its own sums again and again; only the last ones count."""
    traffic = HostTraffic()
    traffic.take(told(0, requests=3, connections=1, connections_max=1))
    traffic.take(told(1, requests=5, connections=2, connections_max=2))
    traffic.take(told(1, route="main", requests=7))
    traffic.take(told(0, requests=4, connections=2, connections_max=2))
    assert total(traffic, Traffic.REQUESTS) == 9
    assert total(traffic, Traffic.CONNECTIONS) == 4
    assert total(traffic, Traffic.REQUESTS, "main") == 7


def test_successor_of_a_worker_goes_on_where_it_ended() -> None:
    """Counters that go back look like a restart of all to whoever draws them."""
    traffic = HostTraffic()
    traffic.take(told(0, pid=1, requests=100, connections=5, connections_max=5))
    traffic.take(told(0, pid=2, requests=1, connections=1, connections_max=1))
    assert total(traffic, Traffic.REQUESTS) == 101
    assert total(traffic, Traffic.CONNECTIONS) == 1


def test_worker_that_is_gone_has_no_connections() -> None:
    """Also if its last word comes after its end was noticed; and that is not counted twice."""
    traffic = HostTraffic()
    traffic.take(told(0, requests=100, connections=5, connections_max=5))
    traffic.forget_worker(0)
    assert (total(traffic, Traffic.CONNECTIONS), total(traffic, Traffic.REQUESTS)) == (0, 100)
    traffic.take(told(0, requests=120, connections=6, connections_max=6))
    assert (total(traffic, Traffic.CONNECTIONS), total(traffic, Traffic.REQUESTS)) == (0, 120)
    traffic.forget_worker(0)
    traffic.take(told(0, pid=2, requests=1, connections=1))
    traffic.take(told(0, requests=130, connections=6))
    assert (total(traffic, Traffic.CONNECTIONS), total(traffic, Traffic.REQUESTS)) == (1, 121)


def test_interval_has_its_own_share() -> None:
    """What was reported is not reported again."""
    traffic = HostTraffic()
    traffic.take(told(0, requests=3, minutes=2, connections=2, connections_max=4))
    first = traffic.end_interval()[""]
    assert (first[Traffic.REQUESTS], first[Traffic.MINUTES], first[Traffic.CONNECTIONS_MAX]) == (3, 2, 4)
    traffic.take(told(0, requests=10, minutes=3, connections=1, connections_max=2))
    second = traffic.end_interval()[""]
    assert (second[Traffic.REQUESTS], second[Traffic.MINUTES], second[Traffic.CONNECTIONS_MAX]) == (7, 1, 2)
    assert traffic.end_interval()[""][Traffic.CONNECTIONS_MAX] == 1
    assert total(traffic, Traffic.REQUESTS) == 10


def test_most_connections_at_once_over_workers() -> None:
    """Those that stay add up, whoever has them."""
    traffic = HostTraffic()
    traffic.take(told(0, connections=3, connections_max=3))
    traffic.take(told(1, connections=4, connections_max=6))
    assert total(traffic, Traffic.CONNECTIONS_MAX) == 9
    traffic.take(told(0, connections=0, connections_max=3))
    traffic.take(told(1, connections=0, connections_max=4))
    assert total(traffic, Traffic.CONNECTIONS_MAX) == 9
    assert total(traffic, Traffic.CONNECTIONS) == 0


def test_clients_one_after_the_other_are_not_taken_for_simultaneous() -> None:
    """One came to each worker within the same second, and left: at once there was one."""
    traffic = HostTraffic()
    traffic.take(told(0, connections=0, connections_max=1))
    traffic.take(told(1, connections=0, connections_max=1))
    assert total(traffic, Traffic.CONNECTIONS_MAX) == 1


def test_what_was_counted_before_a_restart_of_the_hub_is_in_no_interval() -> None:
    """Else the first report after it would tell of days."""
    traffic = HostTraffic(known_pids=[1])
    traffic.take(told(0, pid=1, requests=1000, connections=3, connections_max=3))
    traffic.take(told(1, pid=2, requests=5))
    assert total(traffic, Traffic.REQUESTS) == 1005
    interval = traffic.end_interval()[""]
    assert (interval[Traffic.REQUESTS], interval[Traffic.CONNECTIONS_MAX]) == (5, 3)
    traffic.take(told(0, pid=1, requests=1001))
    traffic.take(told(0, pid=1, route="new", requests=1))
    interval = traffic.end_interval()
    assert (interval[""][Traffic.REQUESTS], interval["new"][Traffic.REQUESTS]) == (1, 1)
