"""What a request to the control port does to the hub, beyond its answer."""

from gripproxy.bus.control_answer import BUSY
from gripproxy.bus.control_request import ControlRequest
from gripproxy.bus.outlet import Outlet
from gripproxy.bus.publish_endpoint import PublishEndpoint
from gripproxy.scoreboard import Field
from tests.bus.bench import BusBench

ITEM = b'{"items":[{"channel":"news","http-stream":{"content":"hi"}}]}'


class FullOutlet(Outlet):
    """A worker hangs, and so much waits for it that no more is taken."""

    @property
    def is_overfull(self) -> bool:
        return True


def post(target: bytes, body: bytes = b"") -> ControlRequest:
    return ControlRequest(b"POST", target, None, body)


def test_valid_items_are_taken_and_refusals_counted(bench: BusBench) -> None:
    """Whoever looks at the counters sees what publishers were told."""
    recovered = []
    outlet, row = bench.outlet(), bench.scoreboard.row(0)
    endpoint = PublishEndpoint(outlet, bench.intake(outlet), lambda: recovered.append(True))
    assert endpoint.respond(post(b"/publish/", ITEM)).status == 200
    bench.turn()
    assert (row[Field.ITEMS_RECEIVED], row[Field.ITEMS_SENT]) == (1, 1)
    assert endpoint.respond(post(b"/publish/", b"x")).status == 400
    assert row[Field.ITEMS_REFUSED] == 1
    assert not recovered
    assert endpoint.respond(post(b"/recover/")).status == 200
    assert recovered == [True]


def test_publisher_is_told_to_come_again_when_a_worker_is_full(bench: BusBench) -> None:
    """All of the request's items, or none: so that it may be repeated."""
    row = bench.scoreboard.row(0)
    outlet = FullOutlet(bench.loop, bench.zmq_context, bench.bus_path, 2, row)
    bench.opened.callback(outlet.close)
    endpoint = PublishEndpoint(outlet, bench.intake(outlet), lambda: None)
    assert endpoint.respond(post(b"/publish/", ITEM)) is BUSY
    assert (row[Field.ITEMS_RECEIVED], row[Field.ITEMS_SENT], row[Field.ITEMS_TURNED_AWAY]) == (0, 0, 1)
