"""What becomes of a request before any origin is asked."""

import jwt
import pytest

from gripproxy.engine.admission import admit
from gripproxy.engine.client_request import ClientRequest
from gripproxy.engine.effects import Respond
from gripproxy.engine.events import RequestArrived
from gripproxy.engine.exchange import ProxyRules
from gripproxy.protocol.grip_sig import SigKey
from gripproxy.protocol.http1 import BodyFraming, RequestHead
from gripproxy.protocol.routes import parse_routes
from gripproxy.settings import Settings
from tests.engine.conversation import Conversation, request

EVENTS = (b"Content-Type", b"application/websocket-events")


def admitted(
    head: RequestHead, routes: str = "* a:1", settings: Settings | None = None, is_done: bool = True
) -> ClientRequest | Respond:
    core = Conversation(settings=settings).core
    core.replace_routes(parse_routes(routes, "routes")[0])
    return decided(RequestArrived(1, head, "10.0.0.9", is_request_done=is_done), core._rules)


def decided(event: RequestArrived, rules: ProxyRules) -> ClientRequest | Respond:
    """Give the request that is admitted, or how it is answered."""
    admitted, refusal = admit(event, rules)
    if refusal is None:
        return admitted
    return refusal.respond


def label(answer: ClientRequest | Respond) -> str:
    """Give the target that a request may go to, or the status and body that it gets."""
    if isinstance(answer, ClientRequest):
        return answer.route.targets[0].label
    head, _, body = answer.payload.partition(b"\r\n\r\n")
    return f"{head.split()[1].decode()} {body.decode()}"


def test_route_goes_by_host_kind_and_path() -> None:
    """Without one it is Pushpin's 502."""
    routes = "d.test,path_beg=/a a:1\nd.test,ssl=yes b:1"
    assert label(admitted(request(b"/a?x"), routes)) == "a:1"
    assert label(admitted(request(b"/b"), routes)) == "502 No route for host: d.test\n"


def test_forwarded_protocol_counts_where_it_is_accepted() -> None:
    """Only the settings can say that it is true."""
    head = request(headers=[(b"X-Forwarded-Proto", b"https")])
    routes = "*,ssl=yes tls:1\n*,ssl=no plain:1"
    assert label(admitted(head, routes, Settings(accept_x_forwarded_protocol=True))) == "tls:1"
    assert label(admitted(head, routes)) == "plain:1"


def test_request_may_name_its_route_where_it_is_allowed() -> None:
    """One that there is not is no reason to guess."""
    routes = "* a:1\nid=other b:1"
    other, unknown = (request(headers=[(b"Pushpin-Route", name)]) for name in (b"other", b"unknown"))
    settings = Settings(accept_pushpin_route=True)
    assert label(admitted(other, routes, settings)) == "b:1"
    assert label(admitted(unknown, routes, settings)) == "502 No route for host: d.test\n"
    assert label(admitted(other, routes)) == "a:1"


@pytest.mark.parametrize("routes", ["* a:1", ""])
def test_proxy_says_itself_who_it_is(routes: str) -> None:
    """Whether or not there is a route; no origin hears of it."""
    head = request()
    head.is_check = True
    assert label(admitted(head, routes)).startswith("200 gripproxy")


def test_answers_without_a_route_are_for_pages_of_other_origins_too() -> None:
    """The setting is about all routes, so it is about none as well; the parameters of a script are looked at first."""
    settings = Settings(auto_cross_origin=True)
    origin = (b"Origin", b"http://page.test")
    answer = admitted(request(headers=[origin]), "", settings)
    script = admitted(request(b"/?callback=cb"), "", settings)
    check = request(b"/?callback=", headers=[origin])
    check.is_check = True
    assert isinstance(answer, Respond) and isinstance(script, Respond)
    assert b"\r\nAccess-Control-Allow-Origin: http://page.test\r\n" in answer.payload
    assert b'\r\n\r\n/**/cb({"code": 502, "reason": "Bad Gateway"' in script.payload
    assert label(admitted(check, "", settings)) == "400 Invalid callback parameter.\n"
    check.target = b"/"
    answer = admitted(check, "", settings)
    assert label(answer) == "200 gripproxy, a GRIP proxy in place of Pushpin. License: Apache 2.0.\n"
    assert isinstance(answer, Respond) and b"\r\nAccess-Control-Allow-Origin: http://page.test\r\n" in answer.payload


def test_signed_request_is_trusted() -> None:
    """Its answer is for the proxy in front."""
    rules = Conversation().core._rules  # whose clock stands at 0
    head = request(headers=[(b"Grip-Sig", jwt.encode({"exp": 1}, "k" * 32).encode())])
    for key, is_trusted in ((b"k" * 32, True), (b"x" * 32, False)):
        rules.requests.reload(rules.settings, {}, SigKey(key))
        answer = decided(RequestArrived(1, head, "10.0.0.9"), rules)
        assert isinstance(answer, ClientRequest)
        assert answer.is_trusted is is_trusted


@pytest.mark.parametrize("routes", ["* a:1,over_http", "* a:1 b:1,over_http"])
def test_events_of_strangers_are_refused_for_every_target(routes: str) -> None:
    """The second target would believe them as the first one does."""
    refusal = "403 Client not allowed to send WebSocket events directly.\n"
    assert label(admitted(request(method=b"POST", headers=[EVENTS]), routes)) == refusal
    assert label(admitted(request(method=b"POST", headers=[EVENTS]), "* a:1")) == "a:1"


def test_events_do_not_get_past_as_jsonp() -> None:
    """The page's parameters make the request that the origin gets, with any Content-Type."""
    target = (
        b"/?callback=cb&_method=POST&_headers=%7B%22Content-Type%22%3A%22application/websocket-events%22%7D&_body=OPEN"
    )
    answer = admitted(request(target), "*,aco a:1,over_http")
    assert isinstance(answer, Respond)
    assert b"not allowed to send WebSocket events" in answer.payload


def test_websocket_without_a_handshake_is_refused() -> None:
    """Whatever the route: no origin has to see it."""
    refusal = label(admitted(request(upgrade=b"WebSocket")))
    assert refusal.startswith('400 Request contained an Upgrade header with value "websocket" but the request was not')


def test_refusal_in_the_middle_of_a_body_ends_the_connection() -> None:
    """What is still to come would be read as the next request."""
    for is_done in (True, False):
        head = request(method=b"POST", framing=BodyFraming.SIZED, content_length=5)
        answer = admitted(head, "", is_done=is_done)
        assert isinstance(answer, Respond)
        assert answer.is_persistent is is_done
