"""Who waits for a connection to an origin, for how long, and whose turn it is."""

from typing import Any

import pytest

from gripproxy.engine.events import OriginFailure
from gripproxy.engine.timer_wheel import TimerWheel
from gripproxy.protocol.route_target import Target
from gripproxy.scoreboard import ROW_CELLS, Field
from gripproxy_worker import origin_line
from gripproxy_worker.origin_line import Ask, Line, origin_key


class Bench:
    """A line, and what became of those in it."""

    def __init__(self) -> None:
        self.row = memoryview(bytearray(8 * ROW_CELLS)).cast("Q")
        self.wheel = TimerWheel(0.0)
        self.now = 0.0
        self.line = Line(self.wheel, lambda: self.now, 30.0, self.row)
        self.failures: list[tuple[str, OriginFailure, str]] = []

    def ask(self, host: str = "a", name: str = "") -> Ask:
        target = Target(host=host, port=80)
        return Ask(
            target, "", lambda origin: None, lambda failure, reason: self.failures.append((name, failure, reason))
        )

    def join(self, host: str = "a", name: str = "") -> Ask:
        ask = self.ask(host, name)
        assert self.line.join(ask)
        return ask

    def pass_time(self, now: float) -> None:
        self.now = now
        for record in self.wheel.due(now, 1000):
            record.on_deadline(now)


def key(host: str) -> Any:
    return origin_key(Target(host=host, port=80), "")


def test_each_origins_requests_are_served_in_order() -> None:
    bench = Bench()
    asks = [bench.join("a"), bench.join("b"), bench.join("a")]
    assert len(bench.line) == 3
    assert [bench.line.pop(key(host)) for host in "aab"] == [asks[0], asks[2], asks[1]]
    assert bench.line.pop(key("a")) is None and len(bench.line) == 0


def test_origins_take_turns() -> None:
    """Who came late with one request need not wait for all of another origin's."""
    bench = Bench()
    for host in "aaabc":
        bench.join(host)
    turns = []
    while bench.line:
        next_key = next(iter(bench.line.keys()))
        turns.append(next_key[0])
        bench.line.pop(next_key)
    assert turns == ["a", "b", "c", "a", "a"]


def test_nobody_waits_for_ever() -> None:
    """An origin that hangs keeps its connections for ten minutes."""
    bench = Bench()
    bench.join(name="early")
    bench.now = 10.0
    bench.join(name="late")
    bench.pass_time(30.5)
    reason = "no connection became free within 30 s"
    assert bench.failures == [("early", OriginFailure.CONNECT, reason)]
    bench.pass_time(40.5)
    assert [name for name, _, _ in bench.failures] == ["early", "late"]
    assert bench.row[Field.ORIGIN_UNSERVED] == 2 and len(bench.line) == 0 and not bench.line.keys()


def test_who_was_served_or_left_has_no_deadline_any_more() -> None:
    bench = Bench()
    served, left = bench.join(), bench.join("b")
    bench.line.pop(key("a"))
    left.cancel()
    left.cancel()
    assert (served.slot, left.slot, served.line, left.line) == (None, None, None, None)
    bench.pass_time(100.0)
    assert bench.failures == [] and bench.row[Field.ORIGIN_UNSERVED] == 0
    served.on_deadline(100.0)  # it came due in the same tick
    assert bench.failures == []


def test_line_that_is_too_long_takes_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept of those who wait is bounded, and so is their wait."""
    monkeypatch.setattr(origin_line, "WAITING_MAX_COUNT", 2)
    bench = Bench()
    first = bench.join()
    bench.join("b")
    refused = bench.ask()
    assert not bench.line.join(refused)
    assert bench.row[Field.ORIGIN_UNSERVED] == 1 and refused.slot is None
    first.cancel()
    assert bench.line.join(refused)


def test_cleared_line_tells_nobody() -> None:
    bench = Bench()
    asks = [bench.join(host) for host in "aab"]
    bench.line.clear()
    assert len(bench.line) == 0 and all(ask.slot is None for ask in asks) and bench.failures == []


def test_cancelled_ask_is_not_told_that_it_failed() -> None:
    bench = Bench()
    ask = bench.ask()
    ask.cancel()
    ask.fail(OriginFailure.CONNECT, "late")
    assert bench.failures == []


TLS = Target(host="a", port=443, is_ssl=True)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Target(host="a", port=80), Target(host="b", port=80)),
        (Target(host="a", port=80), Target(host="a", port=81)),
        (Target(host="a", port=80), Target(host="a", port=80, untrusted=True)),
        (Target(unix_path="/a"), Target(unix_path="/b")),
        (Target(host="a", port=443), TLS),
        (TLS, Target(host="a", port=443, is_ssl=True, insecure=True)),
        (TLS, Target(host="a", port=443, is_ssl=True, untrusted=True)),
        (TLS, Target(host="a", port=443, is_ssl=True, client_cert="c")),
        (
            Target(host="a", port=443, is_ssl=True, client_cert="c", client_key="k"),
            Target(host="a", port=443, is_ssl=True, client_cert="c", client_key="l"),
        ),
    ],
)
def test_connection_of_another_kind_will_not_do(first: Target, second: Target) -> None:
    """Least of all one that was made without looking at the certificate, or at where it leads."""
    assert origin_key(first, "name") != origin_key(second, "name")


def test_name_counts_where_a_certificate_must_carry_it() -> None:
    assert origin_key(TLS, "a") != origin_key(TLS, "b")
    plain = Target(host="a", port=80)
    assert origin_key(plain, "a") == origin_key(plain, "b")


def test_what_a_route_says_to_the_origin_makes_no_other_connection() -> None:
    assert origin_key(TLS, "a") == origin_key(
        Target(host="a", port=443, is_ssl=True, host_header="h", subs=("s",), over_http=True), "a"
    )
