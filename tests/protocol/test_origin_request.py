"""What an origin gets of a client's headers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.protocol.grip_sig import SigKey
from gripproxy.protocol.http1 import Headers, RequestHead
from gripproxy.protocol.origin_request import GRIP_FEATURE, OriginRequests, is_marked_https
from gripproxy.protocol.route import Route
from gripproxy.protocol.routes import parse_routes
from gripproxy.settings import ForwardedForRule, ForwardedProtocol, Settings

HOST = (b"Host", b"client.test:81")
PLAIN = "* localhost:80"
NO_GRIP = "*,no_grip localhost:80"
NAMES = st.sampled_from(
    [b"Grip-Sig", b"CONNECTION", b"X-Forwarded-For", b"CDN-Loop", b"eb9bf0f5-A", b"eb9bf0f5", b"TE", b"A", b"host"]
)


def route(line: str) -> Route:
    return parse_routes(line, "routes")[0].routes[0]


def sent(
    headers: Headers,
    line: str = PLAIN,
    settings: Settings | None = None,
    client_ip: str = "10.0.0.9",
    is_https: bool = False,
    is_trusted: bool = False,
) -> Headers:
    """Give the headers after Host that the origin gets."""
    requests = OriginRequests(settings or Settings(), {}, lambda: 0.0)
    head = RequestHead(b"GET", b"/", True, list(headers), HOST[1])
    chosen = route(line)
    made, _ = requests.headers(head, chosen, chosen.targets[0], client_ip, is_https, 0.0, is_trusted)
    assert head.headers == headers, "the request may have to be sent again"
    assert made[0][0] == b"Host"
    return made[1:]


def test_order_case_and_duplicates_stay() -> None:
    """Untouched headers go on as they came, the proxy's follow."""
    headers = [(b"b", b"1"), (b"A", b"2"), HOST, (b"B", b"3"), (b"Content-Encoding", b"gzip"), (b"Trailer", b"x")]
    assert sent(headers) == [header for header in headers if header is not HOST] + [GRIP_FEATURE]


@pytest.mark.parametrize(
    "name",
    [
        b"Connection",
        b"Keep-Alive",
        b"Accept-Encoding",
        b"transfer-encoding",
        b"Content-Length",
        b"Expect",
        b"Proxy-Connection",
        b"TE",
        b"Upgrade",
        b"X-Forwarded-Proto",
        b"X-FORWARDED-PROTOCOL",
        b"Grip-Hold",
        b"grip-sig",
        b"eb9bf0f5-Cookie",
    ],
)
def test_headers_that_never_go_on(name: bytes) -> None:
    """They are about the client's connection, or would let a client speak for a proxy."""
    assert sent([(name, b"x"), (b"A", b"1")], NO_GRIP) == [(b"A", b"1")]


def test_te_trailers_goes_on_unless_it_is_named() -> None:
    """gRPC origins refuse requests without it."""
    assert sent([(b"te", b"Trailers")], NO_GRIP) == [(b"TE", b"Trailers")]
    assert sent([(b"TE", b"trailers"), (b"Connection", b"TE")], NO_GRIP) == []
    assert sent([(b"TE", b"trailers, gzip")], NO_GRIP) == []


def test_headers_named_in_connection_go() -> None:
    """RFC 9110 section 7.6.1; Pushpin lets them through."""
    headers = [(b"X-Hop", b"1"), (b"A", b"1"), (b"Connection", b"close, X-HOP"), (b"connection", b"x-other")]
    assert sent([*headers, (b"X-Other", b"1")], NO_GRIP) == [(b"A", b"1")]


@pytest.mark.parametrize("name", [b"X-Forwarded-For", b"X-Forwarded-Proto", b"Forwarded", b"CDN-Loop", b"X-Secret"])
def test_client_cannot_strip_what_others_added(name: bytes) -> None:
    """Naming a header in Connection must not hide the client's address nor take away what the route sets."""
    settings = Settings(set_x_forwarded_protocol=ForwardedProtocol.OFF)
    line = "*,no_grip,header=X-Secret:1 localhost:80"
    assert (name, b"1") in sent([(name, b"1"), (b"Connection", name)], line, settings)


def test_route_headers_replace_and_remove() -> None:
    """A later route property wins over the client; an empty value removes; Grip-* and Host cannot be set."""
    line = "*,header=A:new,header=B:,header=Grip-X:1,header=Host:evil localhost:80"
    made = sent([(b"a", b"old"), (b"b", b"old"), (b"C", b"1"), HOST], line)
    assert made == [(b"C", b"1"), (b"A", b"new"), GRIP_FEATURE]


def test_marked_copies_are_taken_before_anything_is_removed() -> None:
    """A proxy further down sees what the first one got."""
    headers = [HOST, (b"Connection", b"close"), (b"EB9BF0F5-Old", b"1"), (b"Grip-Sig", b"x"), (b"Secret", b"1")]
    made = sent(headers, "*,orig_headers,no_grip localhost:80", Settings(orig_headers_need_mark=("secret",)))
    assert made == [
        (b"Secret", b"1"),
        (b"eb9bf0f5-Host", HOST[1]),
        (b"eb9bf0f5-Connection", b"close"),
        (b"EB9BF0F5-Old", b"1"),
        (b"eb9bf0f5-Grip-Sig", b"x"),
    ]


def test_marked_headers_with_a_trusted_client() -> None:
    """With orig_headers they are left alone, without they go as for anybody."""
    headers = [(b"eb9bf0f5-Host", b"x"), (b"eb9bf-other", b"y")]
    assert sent(headers, "*,orig_headers localhost:80", is_trusted=True) == headers
    assert sent(headers, is_trusted=True) == headers[1:]


def test_trusted_client_speaks_for_itself() -> None:
    """The proxy in front has signed and will do the hold: its headers go through and none are added."""
    headers = [(b"Grip-Sig", b"theirs"), (b"Grip-Feature", b"f"), (b"X-Forwarded-For", b"1.1.1.1")]
    settings = Settings(x_forwarded_for=ForwardedForRule(truncate=0, is_append=True))
    assert sent(headers, settings=settings, is_trusted=True) == headers


@pytest.mark.parametrize(
    ("value", "is_https", "added"),
    [
        (ForwardedProtocol.OFF, True, [(b"X-Forwarded-Proto", b"old")]),
        (ForwardedProtocol.PROTO_ONLY, False, []),
        (ForwardedProtocol.PROTO_ONLY, True, [(b"X-Forwarded-Proto", b"https")]),
        (ForwardedProtocol.BOTH, False, []),
        (ForwardedProtocol.BOTH, True, [(b"X-Forwarded-Proto", b"https"), (b"X-Forwarded-Protocol", b"https")]),
    ],
)
def test_forwarded_protocol(value: ForwardedProtocol, is_https: bool, added: Headers) -> None:
    """Where the proxy tells the protocol, the client's own claim goes, on plain HTTP too."""
    settings = Settings(set_x_forwarded_protocol=value)
    assert sent([(b"X-Forwarded-Proto", b"old")], NO_GRIP, settings, is_https=is_https) == added


def test_accepting_the_protocol_removes_it() -> None:
    """It has been used up by the choice of the route."""
    settings = Settings(set_x_forwarded_protocol=ForwardedProtocol.OFF, accept_x_forwarded_protocol=True)
    assert sent([(b"X-Forwarded-Proto", b"https")], NO_GRIP, settings, is_https=True) == []


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
    assert is_marked_https(headers) is is_https


@pytest.mark.parametrize(
    ("rule", "values", "added"),
    [
        (ForwardedForRule(), [], None),
        (ForwardedForRule(), [b"1.1.1.1,2.2.2.2", b"3.3.3.3"], b"1.1.1.1, 2.2.2.2, 3.3.3.3"),
        (ForwardedForRule(is_append=True), [], b"10.0.0.9"),
        (ForwardedForRule(is_append=True), [b"1.1.1.1"], b"1.1.1.1, 10.0.0.9"),
        (ForwardedForRule(truncate=1, is_append=True), [b"1.1.1.1, 2.2.2.2"], b"2.2.2.2, 10.0.0.9"),
        (ForwardedForRule(truncate=0, is_append=True), [b"1.1.1.1"], b"10.0.0.9"),
        (ForwardedForRule(truncate=0), [b"1.1.1.1"], None),
        (ForwardedForRule(truncate=9), [b"1.1.1.1"], b"1.1.1.1"),
    ],
)
def test_forwarded_for(rule: ForwardedForRule, values: list[bytes], added: bytes | None) -> None:
    """All lines become one, at the end; truncation keeps the nearest proxies' entries."""
    headers = [(b"X-Forwarded-For", value) for value in values]
    expected = [] if added is None else [(b"X-Forwarded-For", added)]
    assert sent([*headers, (b"A", b"1")], NO_GRIP, Settings(x_forwarded_for=rule)) == [(b"A", b"1"), *expected]


def test_client_on_a_unix_socket_has_no_address_to_append() -> None:
    """Pushpin appends an empty element, which no parser of the header expects."""
    settings = Settings(x_forwarded_for=ForwardedForRule(is_append=True))
    assert sent([], NO_GRIP, settings, client_ip="") == []


def test_cdn_loop_is_extended() -> None:
    """RFC 8586; without a configured name the header is nobody's business."""
    headers = [(b"CDN-Loop", b"a; v=1, b"), (b"A", b"1"), (b"cdn-loop", b"c")]
    assert sent(headers, NO_GRIP, Settings(cdn_loop="me")) == [(b"A", b"1"), (b"CDN-Loop", b"a; v=1, b, c, me")]
    assert sent([], NO_GRIP, Settings(cdn_loop="me")) == [(b"CDN-Loop", b"me")]
    assert sent(headers, NO_GRIP) == headers


def test_the_proxys_own_headers_come_in_pushpins_order() -> None:
    """All at once, after what is left of the client's."""
    settings = Settings(sig_key="k", cdn_loop="me", x_forwarded_for=ForwardedForRule(is_append=True))
    requests = OriginRequests(settings, {"k": SigKey(b"k")}, lambda: 0.0)
    chosen = route(PLAIN)
    head = RequestHead(b"GET", b"/", True, [(b"X-Forwarded-For", b"1"), HOST, (b"A", b"1")], HOST[1])
    made, _ = requests.headers(head, chosen, chosen.targets[0], "2", True, 0.0)
    names = [b"Host", b"A", b"CDN-Loop", b"Grip-Sig", b"Grip-Feature", b"X-Forwarded-Proto", b"X-Forwarded-For"]
    assert [name for name, _ in made] == names


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("* test", b"global"),
        ("*,sig_key=own test", b"own"),
        ("*,sig_iss=me test", b"global"),
        ("*,sig_key=unreadable test", None),
        ("*,sig_key= test", None),
        ("*,sig_iss= test", None),
        ("*,no_grip test", None),
    ],
)
def test_route_overrides_issuer_and_key_independently(line: str, key: bytes | None) -> None:
    """As in Pushpin 1.41; without a usable key there is no signature, but a feature list."""
    keys = {"global": SigKey(b"global"), "own": SigKey(b"own")}
    requests = OriginRequests(Settings(sig_key="global"), keys, lambda: 0.0)
    chosen = route(line)
    head = RequestHead(b"GET", b"/", True, [])
    made, _ = requests.headers(head, chosen, chosen.targets[0], "", False, 0.0)
    tokens = [value for name, value in made if name == b"Grip-Sig"]
    assert len(tokens) == (key is not None)
    assert ([name for name, _ in made][-1] == b"Grip-Feature") is not chosen.no_grip
    if key is not None:
        requests.reload({text: SigKey(key) for text in keys})
        again, _ = requests.headers(head, chosen, chosen.targets[0], "", False, 0.0)
        assert again == made


def test_reload_uses_the_new_keys() -> None:
    """A key file that has been replaced counts after SIGHUP, not when the last token runs out."""
    requests = OriginRequests(Settings(sig_key="k"), {"k": SigKey(b"old")}, lambda: 0.0)
    chosen, head = route(PLAIN), RequestHead(b"GET", b"/", True, [])
    before, _ = requests.headers(head, chosen, chosen.targets[0], "", False, 0.0)
    requests.reload({"k": SigKey(b"new")})
    after, _ = requests.headers(head, chosen, chosen.targets[0], "", False, 0.0)
    assert before[1][0] == after[1][0] == b"Grip-Sig"
    assert before != after


@pytest.mark.parametrize(
    ("line", "host", "server_name"),
    [
        ("* o.test:443,ssl", b"client.test:81", "client.test"),
        ("*,as_host=as.test o.test:443,ssl", b"as.test", "as.test"),
        ("*,as_host=as.test o.test:443,ssl,host=t.test:8443", b"t.test:8443", "t.test"),
        ("* o.test:443,ssl,trust_connect_host", b"client.test:81", "o.test"),
    ],
)
def test_host_and_name_for_tls(line: str, host: bytes, server_name: str) -> None:
    """The target's word, then the route's, then the client's; the certificate carries the Host without port."""
    requests = OriginRequests(Settings(), {}, lambda: 0.0)
    chosen = route(line)
    head = RequestHead(b"GET", b"/", True, [HOST], HOST[1])
    made, name = requests.headers(head, chosen, chosen.targets[0], "", False, 0.0)
    assert (made[0], name) == ((b"Host", host), server_name)
    assert [name for name, _ in made].count(b"Host") == 1


def test_ipv6_host_names_its_certificate_without_brackets() -> None:
    """TLS libraries take the bare address."""
    chosen = route("* localhost:80,ssl")
    head = RequestHead(b"GET", b"/", True, [], b"[::1]:8000")
    requests = OriginRequests(Settings(), {}, lambda: 0.0)
    assert requests.headers(head, chosen, chosen.targets[0], "", False, 0.0)[1] == "::1"


@given(st.lists(st.tuples(NAMES, st.binary(max_size=12))), st.booleans())
def test_no_client_gets_grip_headers_through(headers: Headers, is_https: bool) -> None:
    """Whatever a client sends, an origin may believe a Grip-* or marked header to be a proxy's."""
    made = sent(headers, NO_GRIP, Settings(cdn_loop="me"), is_https=is_https)
    names = [name.lower() for name, _ in made]
    assert not [name for name in names if name.startswith((b"grip-", b"eb9bf0f5-", b"connection", b"host"))]
    assert names.count(b"cdn-loop") == 1
    assert names.count(b"x-forwarded-for") <= 1
