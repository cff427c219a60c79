"""Whether this host is well: what a machine in front of it asks."""

import json
import time

import pytest

from gripproxy.bus.control_answer import ControlAnswer
from gripproxy.bus.control_request import ControlRequest
from gripproxy.bus.control_routes import ControlRoutes
from gripproxy.bus.health import STALE_S, Health
from gripproxy.bus.outlet import Outlet
from gripproxy.scoreboard import Field, ProcessState
from tests.bus.bench import BusBench


def health(bench: BusBench) -> Health:
    """Two workers that serve."""
    for row in bench.scoreboard.worker_rows():
        row[Field.STATE] = ProcessState.READY
        row[Field.HEARTBEAT_MS] = int(time.monotonic() * 1000)
    return Health(bench.scoreboard, bench.outlet())


def ask(health: Health, path: bytes) -> ControlAnswer:
    routes = ControlRoutes(lambda _: ControlAnswer(404, b""), lambda _, is_public: None if is_public else 1 / 0)  # type: ignore[arg-type,return-value]
    health.register(routes)
    answer = routes.respond(ControlRequest(b"GET", path, b"text/html", b""))
    assert isinstance(answer, ControlAnswer)
    return answer


def test_all_is_well(bench: BusBench) -> None:
    """Asked without a key, and never from a cache."""
    well = health(bench)
    for path, body in (
        (b"/healthz", b"ok\n"),
        (b"/readyz", b'{"ready": true}\n'),
        (b"/readyz/?x", b'{"ready": true}\n'),
    ):
        answer = ask(well, path)
        assert (answer.status, answer.body) == (200, body)
        assert answer.extra == [(b"Cache-Control", b"no-store")]


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (ProcessState.STARTING, "does not serve: it is starting"),
        (ProcessState.STOPPING, "draining"),
        (ProcessState.DEAD, "does not serve: it is dead"),
    ],
)
def test_worker_that_does_not_serve_is_a_reason(bench: BusBench, state: ProcessState, reason: str) -> None:
    """Each reason has a line and names its process; the hub itself goes on and says that it is well."""
    unwell = health(bench)
    for row in bench.scoreboard.worker_rows():
        row[Field.STATE] = state
    answer = ask(unwell, b"/readyz")
    assert (answer.status, answer.content_type) == (503, b"application/json")
    assert [json.loads(line) for line in answer.body.splitlines()] == [
        {"process": f"worker-{index}", "reason": reason} for index in (0, 1)
    ]
    assert ask(unwell, b"/healthz").status == 200


def test_worker_that_hangs_is_a_reason(bench: BusBench) -> None:
    """The kernel still gives it connections, and nobody answers them."""
    unwell = health(bench)
    now = time.monotonic()
    bench.scoreboard.row(2)[Field.HEARTBEAT_MS] = int((now - STALE_S - 1) * 1000)
    assert unwell.faults(now) == [{"process": "worker-1", "reason": "hangs: its last sign of life is 6.0 s old"}]


def test_hub_that_turns_publishers_away_is_a_reason(bench: BusBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Publishers are told to come again; so another host is the better place for them."""
    unwell = health(bench)
    monkeypatch.setattr(Outlet, "is_overfull", True)
    assert [fault["process"] for fault in unwell.faults(time.monotonic())] == ["hub"]


def test_want_of_memory_is_a_reason(bench: BusBench) -> None:
    """A load balancer sends its clients elsewhere meanwhile."""
    unwell = health(bench)
    bench.scoreboard.worker_rows()[1][Field.MEMORY_REFUSED] = 1
    answer = ask(unwell, b"/readyz")
    assert answer.status == 503
    assert json.loads(answer.body) == {"process": "worker-1", "reason": "takes no new clients: memory is short"}
