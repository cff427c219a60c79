"""What clients say, and what is believed of it."""

import jwt
import pytest

from gripproxy.protocol.client_claims import ClientClaims, is_forbidden_events
from gripproxy.protocol.grip_sig import SigKey
from gripproxy.protocol.http1 import Headers, RequestHead
from gripproxy.protocol.routes import parse_routes
from gripproxy.settings import Settings


def claims(settings: Settings) -> ClientClaims:
    return ClientClaims(settings, lambda: 0.0, None)


@pytest.mark.parametrize(
    ("headers", "is_https"),
    [
        ([], False),
        ([(b"X-Forwarded-Proto", b"https")], True),
        ([(b"x-forwarded-proto", b"wss")], True),
        ([(b"X-Forwarded-Proto", b"HTTPS")], False),
        ([(b"X-Forwarded-Proto", b""), (b"X-Forwarded-Protocol", b"https")], True),
        ([(b"X-Forwarded-Proto", b"http"), (b"X-Forwarded-Protocol", b"https")], False),
    ],
)
def test_marked_https(headers: Headers, is_https: bool) -> None:
    """Case counts, and the second header only without the first, as in Pushpin."""
    head = RequestHead(b"GET", b"/", True, headers)
    settings = Settings(accept_x_forwarded_protocol=True)
    assert claims(settings).is_marked_https(head, "10.0.0.9") is is_https
    assert not claims(Settings()).is_marked_https(head, "10.0.0.9")


def test_only_proxies_in_front_say_https_where_they_are_known() -> None:
    """A route may be for requests over TLS only."""
    settings = Settings(accept_x_forwarded_protocol=True, set_real_ip_from=("10.0.0.9/32", "unix:"))
    judge = claims(settings)
    head = RequestHead(b"GET", b"/", True, [(b"X-Forwarded-Proto", b"https")])
    answers = [judge.is_marked_https(head, client_ip) for client_ip in ("10.0.0.9", "10.0.0.8", "")]
    assert answers == [True, False, True]


@pytest.mark.filterwarnings("ignore")
def test_only_a_proxy_that_proves_it_is_trusted() -> None:
    """The first Grip-Sig counts; without a key, or with another one, nobody is."""
    good, bad = (jwt.encode({"exp": 1001}, secret).encode() for secret in ("k", "other"))
    keys = [None, SigKey(b"k")]
    nobody, careful = (ClientClaims(Settings(), lambda: 1000.0, key) for key in keys)

    def is_trusted(judge: ClientClaims, *tokens: bytes) -> bool:
        return judge.is_trusted(RequestHead(b"GET", b"/", True, [(b"grip-sig", token) for token in tokens]))

    assert is_trusted(careful, good)
    assert not is_trusted(careful, bad, good)
    assert not is_trusted(careful)
    assert not is_trusted(nobody, good)
    careful.reload(Settings(), SigKey(b"other"))
    assert [is_trusted(careful, token) for token in (good, bad)] == [False, True]
    careful.reload(Settings(), None)
    assert not is_trusted(careful, bad)


def test_request_names_its_route_only_where_it_may() -> None:
    open_claims = claims(Settings(accept_pushpin_route=True))
    headers = [(b"pushpin-route", b"a\xc3\xa9"), (b"Pushpin-Route", b"b")]
    head = RequestHead(b"GET", b"/", True, headers)
    assert open_claims.wanted_route(head) == "a\u00e9"
    assert open_claims.wanted_route(RequestHead(b"GET", b"/", True, [(b"Pushpin-Route", b"")])) is None
    assert open_claims.wanted_route(RequestHead(b"GET", b"/", True, [(b"Pushpin-Route", b"\xff")])) == "\udcff"
    assert open_claims.wanted_route(RequestHead(b"GET", b"/", True, [])) is None
    assert claims(Settings()).wanted_route(head) is None


@pytest.mark.parametrize(
    ("content_type", "is_forbidden"),
    [
        (b"application/websocket-events", True),
        (b"Application/WebSocket-Events ; x=y", True),
        (b"application/json", False),
    ],
)
def test_clients_cannot_send_events_as_a_proxy_would(content_type: bytes, is_forbidden: bool) -> None:
    """The request would be signed, and so believed."""
    head = RequestHead(b"POST", b"/", True, [(b"Content-Type", b"a/b"), (b"content-type", content_type)])
    over_http, plain = parse_routes("* a:1,over_http b:1", "routes")[0].routes[0].targets
    assert is_forbidden_events(head, over_http, is_trusted=False) is is_forbidden
    assert not is_forbidden_events(head, over_http, is_trusted=True)
    assert not is_forbidden_events(head, plain, is_trusted=False)
