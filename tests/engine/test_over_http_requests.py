"""Requests with events: whose name, whose token, whose id."""

from gripproxy.engine.client_request import ClientRequest
from gripproxy.engine.effects import AskLink, Effect
from gripproxy.engine.link_requests import LinkRequests
from gripproxy.engine.over_http_origin import EventsOrigin
from gripproxy.engine.over_http_requests import EventsRequests
from gripproxy.engine.ws_session import WsShape
from gripproxy.protocol.grip_sig import decode_sig_key
from gripproxy.protocol.origin_request import OriginRequests
from gripproxy.settings import Settings
from tests.engine.conversation import client, socket_request

ID = b"12345678-1234-4234-8234-123456789abc"


def nothing(event: object, now: float) -> list[Effect]:
    return []


class Maker:
    """Makes requests of one session; the clock of its tokens can be set."""

    def __init__(self, route: str) -> None:
        self.unix_time = 1000.0
        keys = {"secret": decode_sig_key("secret-of-thirty-two-bytes-or-more")} if "sig_key" in route else {}
        origin_requests = OriginRequests(Settings(sig_iss="us"), keys, lambda: self.unix_time)
        self.links = LinkRequests(origin_requests)
        self.requests = EventsRequests(self.links, origin_requests, lambda conn_id: ID)
        self.request: ClientRequest = client(socket_request(), route)

    def makes(self, now: float = 0.0, body: bytes = b"OPEN\r\n") -> AskLink:
        request = self.request
        target = request.route.targets[0]
        head = self.requests.begin(4, request, target, now)
        shape = WsShape(
            *(request.route, target, request.traffic, request.url, False, False, None, head.template),
        )
        return self.requests.post(nothing, shape, EventsOrigin(4, head.values), body, now)


def test_a_request_names_its_connection() -> None:
    ask = Maker("* origin:80,over_http").makes()
    assert ask.head.startswith(b"POST / HTTP/1.1\r\nHost: d.test\r\n")
    assert b"\r\nConnection-Id: " + ID + b"\r\n" in ask.head
    assert ask.is_repeatable
    assert ask.server_name == ""


def test_tls_origins_are_asked_by_their_name() -> None:
    """The one that the request says, unless the target says another."""
    assert Maker("* origin:443,over_http,ssl").makes().server_name == "d.test"
    assert Maker("*,as_host=as.test origin:443,over_http,ssl").makes().server_name == "as.test"
    assert Maker("* origin:443,over_http,ssl,host=other.test:444").makes().server_name == "other.test"
    assert Maker("* origin:443,over_http,ssl,trust_connect_host").makes().server_name == "origin"


def test_requests_are_signed_when_they_are_made() -> None:
    """A session may last for days, and a token for an hour."""
    maker = Maker("*,sig_key=secret origin:80,over_http")
    first = maker.makes()
    maker.unix_time += 7200
    later = maker.makes(7200.0)
    tokens = [ask.head.partition(b"\r\nGrip-Sig: ")[2].partition(b"\r\n")[0] for ask in (first, later)]
    assert all(token.count(b".") == 2 for token in tokens)
    assert tokens[0] != tokens[1]


def test_requests_without_a_key_are_not_signed() -> None:
    assert b"Grip-Sig" not in Maker("* origin:80,over_http").makes().head


def test_nobody_hears_of_a_request_that_is_forgotten() -> None:
    maker = Maker("* origin:80,over_http")
    ask = maker.makes()
    assert maker.links.count == 1
    assert maker.requests.forget(ask.link_id)
    assert not maker.requests.forget(ask.link_id)
    assert maker.links.count == 0
