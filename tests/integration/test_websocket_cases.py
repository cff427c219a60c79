"""RFC 6455 and RFC 7692 through the proxy: every case, whatever stands behind it, and when nothing does."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import pytest

from gripproxy.protocol.websocket_frame import TEXT
from tests.integration.deadline import wait_until
from tests.integration.server import Server, ServerPlan
from tests.protocol.websocket_streams import raw_frame
from tests.websocket_cases.case import FIN, RSV1, Case
from tests.websocket_cases.collection import CASES
from tests.websocket_cases.compression_cases import deflated
from tests.websocket_cases.origins import Detached, over_http_origin, socket_origin
from tests.websocket_cases.talk import NO_CONTEXT, TIMEOUT_S, Received, Talk

# The reference drops the connection at a breach, and takes some breaches for none.
pytestmark = pytest.mark.gripproxy_only

WORKERS_COUNT = 2
_ids = count(1)


@dataclass(slots=True, frozen=True)
class Way:
    """What stands behind the proxy, by the route's host."""

    name: str
    is_over_http: bool = False
    is_detached: bool = False

    def takes(self, case: Case) -> bool:
        """Say whether the case makes sense here."""
        if self.is_detached:
            return not (case.socket_only or case.over_http_only)
        return not (case.socket_only if self.is_over_http else case.over_http_only)


WAYS = [
    Way("plain"),
    Way("grip"),
    Way("events", is_over_http=True),
    Way("grip-detached", is_detached=True),
    Way("events-detached", is_over_http=True, is_detached=True),
]
EACH = [pytest.param(way, case, id=f"{way.name}-{case.name}") for way in WAYS for case in CASES if way.takes(case)]


@dataclass(slots=True)
class Site:
    """The proxy, and who has been detached behind it."""

    server: Server
    detached: Detached


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One proxy with all origins behind it."""
    detached = Detached()
    with (
        socket_origin(False, detached) as plain_port,
        socket_origin(True, detached) as grip_port,
        over_http_origin(detached) as events_port,
    ):
        routes = [
            f"plain 127.0.0.1:{plain_port}",
            f"grip 127.0.0.1:{grip_port}",
            f"events 127.0.0.1:{events_port},over_http",
        ]
        plan = ServerPlan(routes=routes, workers=WORKERS_COUNT, sections={"runner": {"allow_compression": "true"}})
        server = Server(plan, tmp_path_factory.mktemp("server"))
        try:
            server.start()
            yield Site(server, detached)
        finally:
            server.stop()


def begin(site: Site, way: Way, *offers: str) -> Talk:
    """Connect a client whose origin echoes, or is gone."""
    host, _, path = way.name.partition("-")
    client_id = str(next(_ids))
    talk = Talk(site.server.http_port, f"/{path or 'echo'}?id={client_id}", host, *offers)
    if way.is_detached:
        wait_until(lambda: client_id in site.detached.ids, "the client is detached", TIMEOUT_S)
    else:
        talk.greet()
    return talk


@pytest.mark.parametrize(("way", "case"), EACH)
def test_case(site: Site, way: Way, case: Case) -> None:
    """Messages, pongs and the close come back as they must; a detached client gets the close alone."""
    talk = begin(site, way, *([NO_CONTEXT] if case.is_deflating else []))
    assert bool(talk.agreed) is case.is_deflating
    expected = Received() if way.is_detached else Received(list(case.messages), list(case.pongs))

    def is_complete(received: Received) -> bool:
        counts = len(received.messages), len(received.pongs)
        return counts == (len(expected.messages), len(expected.pongs))

    talk.send(*case.parts)
    talk.wait(is_complete, f"{len(expected.messages)} messages and {len(expected.pongs)} pongs")
    assert talk.received == expected
    talk.send(*case.ending)
    talk.wait_for_end()
    talk.close()
    close, talk.received.close = talk.received.close, None
    assert talk.received == expected
    code, reason = case.code, case.reason
    if way.is_detached and not case.is_breach:
        code, reason = 1000, b""
    assert close is not None and int.from_bytes(close[:2], "big") == code
    assert reason is None or close[2:] == reason


OFFERS = {
    "permessage-deflate": [NO_CONTEXT],
    "permessage-deflate; client_max_window_bits": [NO_CONTEXT],  # Chromium's and Firefox's
    "permessage-deflate; client_max_window_bits=10": [NO_CONTEXT],
    "permessage-deflate; server_no_context_takeover": [NO_CONTEXT],
    "permessage-deflate; server_max_window_bits=15": [f"{NO_CONTEXT}; server_max_window_bits=15"],
    "permessage-deflate; server_max_window_bits=10": [],
    "permessage-deflate; server_max_window_bits=10, permessage-deflate": [NO_CONTEXT],
    "permessage-deflate; server_max_window_bits": [],
    "permessage-deflate; unknown": [],
    "permessage-deflate; server_no_context_takeover; server_no_context_takeover": [],
    "permessage-deflate; client_max_window_bits=16": [],
    "x-webkit-deflate-frame, permessage-deflate": [NO_CONTEXT],
    "x-webkit-deflate-frame": [],
}


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("way", [WAYS[0], WAYS[2]], ids=lambda way: way.name)
def test_offer_of_compression(site: Site, way: Way, offer: str) -> None:
    """What was agreed is done, both ways; nothing is where it was not."""
    talk = begin(site, way, offer)
    assert talk.agreed == OFFERS[offer]
    assert talk.first_byte == FIN | TEXT | (RSV1 if OFFERS[offer] else 0)
    talk.send(raw_frame(FIN | RSV1 | TEXT, deflated(b"Hello" * 10)))
    if OFFERS[offer]:
        talk.wait(lambda received: bool(received.messages), "the message")
        assert talk.received.messages == [(TEXT, b"Hello" * 10)]
    else:
        talk.wait_for_end()
        assert talk.received.close is not None and talk.received.close.startswith(b"\x03\xea")  # 1002
    talk.close()


def test_offers_in_several_lines(site: Site) -> None:
    """They are one list."""
    talk = begin(site, WAYS[0], "foo", "permessage-deflate; server_max_window_bits=9", "permessage-deflate")
    assert talk.agreed == [NO_CONTEXT]
    talk.close()
