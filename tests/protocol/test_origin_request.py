"""What an origin gets of a client's headers."""

from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gripproxy.protocol.grip_sig import SigKey
from gripproxy.protocol.header_params import decode_valued_params
from gripproxy.protocol.http1 import Headers, RequestHead
from gripproxy.protocol.origin_request import (
    GRIP_FEATURE,
    OriginRequests,
    encode_grip_last,
)
from gripproxy.protocol.route import Route
from gripproxy.protocol.route_target import Target
from gripproxy.protocol.routes import parse_routes
from gripproxy.settings import ForwardedForRule, ForwardedProtocol, Settings

HOST = (b"Host", b"client.test:81")
PLAIN = "* localhost:80"
NO_GRIP = "*,no_grip localhost:80"
NAMES = st.sampled_from(
    [b"Grip-Sig", b"CONNECTION", b"X-Forwarded-For", b"CDN-Loop", b"eb9bf0f5-A", b"eb9bf0f5", b"TE", b"A", b"host"]
    + [b"Grip_Sig", b"X_Forwarded-For", b"Meta-A", b"Connection_ID", b"Forwarded", b"X-Real-Ip", b"x_real_ip"]
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
    grip_last: Sequence[tuple[str, str]] = (),
) -> Headers:
    """Give the headers after Host that the origin gets."""
    requests = OriginRequests(settings or Settings(), {}, lambda: 0.0)
    head = RequestHead(b"GET", b"/", True, list(headers), HOST[1])
    chosen = route(line)
    made, _ = requests.headers(head, chosen, chosen.targets[0], client_ip, is_https, 0.0, is_trusted, grip_last)
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
        b"Pushpin-Check",
        b"Connection-Id",
        b"META-User",
        b"Forwarded",
        b"X-Real-IP",
        b"X-Forwarded-For",
        b"X-Forwarded-Host",
        b"X-Forwarded-Anything",
        b"X_Forwarded_For",
        b"X-Forwarded_Host",
        b"GRIP_SIG",
        b"Connection_Id",
        b"meta_user",
        b"Content_Length",
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


@pytest.mark.parametrize(
    "name", [b"X-Forwarded-For", b"X-Forwarded-Proto", b"Forwarded", b"CDN-Loop", b"X-Secret", b"X-Forwarded-Host"]
)
def test_client_cannot_strip_what_others_added(name: bytes) -> None:
    """Naming a header in Connection must not hide the client's address nor take away what the route sets."""
    settings = Settings(set_x_forwarded_protocol=ForwardedProtocol.OFF, set_real_ip_from=("10.0.0.0/8",))
    line = "*,no_grip,header=X-Secret:1 localhost:80"
    assert (name, b"1") in sent([(name, b"1"), (b"Connection", name)], line, settings)


def test_route_headers_replace_and_remove() -> None:
    """A later route property wins over the client; an empty value removes; Grip-* and Host cannot be set."""
    line = "*,header=A:new,header=B:,header=Grip-X:1,header=Host:evil localhost:80"
    made = sent([(b"a", b"old"), (b"b", b"old"), (b"C", b"1"), HOST], line)
    assert made == [(b"C", b"1"), (b"A", b"new"), GRIP_FEATURE]


def test_client_cannot_pass_for_the_route() -> None:
    """An origin behind CGI or WSGI reads X_User as X-User."""
    line = '*,no_grip,header="X-User: me",header=X-Admin: localhost:80'
    assert sent([(b"X_User", b"root"), (b"x-user", b"root"), (b"X_Admin", b"1")], line) == [(b"X-User", b"me")]
    assert sent([(b"X-User", b"root")], "*,no_grip,header=X_User:me localhost:80") == [(b"X_User", b"me")]


def test_route_may_set_what_clients_may_not() -> None:
    """The operator wrote it; only Grip-* is the proxy's own, as in Pushpin."""
    names = ["X-Forwarded-Host", "X-Real-IP", "Meta-A", "Connection-Id", "Grip-A", "X-Forwarded-For"]
    line = "*,no_grip," + ",".join(f"header={name}:1" for name in names) + " localhost:80"
    assert {name for name, _ in sent([], line)} == {name.encode() for name in names} - {b"Grip-A"}


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
    headers = [(b"Grip-Sig", b"theirs"), (b"Connection-Id", b"c"), (b"Meta-A", b"1"), (b"X-Forwarded-Host", b"h")]
    headers += [(b"X-Forwarded-For", b"1.1.1.1")]
    settings = Settings(x_forwarded_for=ForwardedForRule(truncate=0, is_append=True))
    assert sent(headers, settings=settings, is_trusted=True) == headers
    settings = Settings(x_forwarded_for_trusted=ForwardedForRule(truncate=0, is_append=True))
    assert sent(headers, settings=settings, is_trusted=True)[-1] == (b"X-Forwarded-For", b"10.0.0.9")
    assert sent(headers, is_trusted=True, grip_last=[("c", "1")]) == headers


@pytest.mark.parametrize(
    ("value", "is_https", "added"),
    [
        (ForwardedProtocol.OFF, True, []),
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


def test_protocol_of_a_websocket_is_wss() -> None:
    """Also where its origin speaks HTTP, as in Pushpin."""
    settings = Settings(set_x_forwarded_protocol=ForwardedProtocol.BOTH)
    requests = OriginRequests(settings, {}, lambda: 0.0)
    head = RequestHead(b"GET", b"/", True, [HOST, (b"Upgrade", b"WebSocket")], HOST[1], upgrade=b"WebSocket")
    chosen = route(NO_GRIP)
    made, _ = requests.headers(head, chosen, chosen.targets[0], "10.0.0.9", True, 0.0)
    assert made[-2:] == [(b"X-Forwarded-Proto", b"wss"), (b"X-Forwarded-Protocol", b"wss")]


def test_accepting_the_protocol_removes_it() -> None:
    """It has been used up by the choice of the route."""
    settings = Settings(set_x_forwarded_protocol=ForwardedProtocol.OFF, accept_x_forwarded_protocol=True)
    assert sent([(b"X-Forwarded-Proto", b"https")], NO_GRIP, settings, is_https=True) == []


@pytest.mark.parametrize(
    ("rule", "values", "added"),
    [
        (ForwardedForRule(), [], None),
        (ForwardedForRule(), [b"1.1.1.1,2.2.2.2", b"3.3.3.3"], None),
        (ForwardedForRule(truncate=9), [b"1.1.1.1,2.2.2.2", b"3.3.3.3"], b"1.1.1.1, 2.2.2.2, 3.3.3.3"),
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


def test_proxy_in_front_speaks_for_its_client() -> None:
    """It is known by its address; the header that the settings make themselves is theirs all the same."""
    headers = [
        (b"X-Forwarded-Host", b"h"),
        (b"Forwarded", b"for=1"),
        (b"X-Real-IP", b"1"),
        (b"X-Forwarded-Proto", b"x"),
    ]
    addresses = (b"X-Forwarded-For", b"1.1.1.1,2.2.2.2")
    settings = Settings(set_real_ip_from=("10.0.0.8/29",))
    assert sent([*headers, addresses], NO_GRIP, settings) == [*headers[:3], (b"X-Forwarded-For", b"1.1.1.1, 2.2.2.2")]
    assert sent([*headers, addresses, (b"Grip-A", b"1"), (b"Meta-A", b"1")], NO_GRIP, settings, "10.0.0.7") == []
    settings = Settings(set_real_ip_from=("10.0.0.8/29",), set_x_forwarded_protocol=ForwardedProtocol.OFF)
    assert sent(headers, NO_GRIP, settings) == headers


def test_addresses_of_strangers_are_not_kept_where_the_proxies_are_known() -> None:
    """Then a rule that appends begins with the client itself."""
    settings = Settings(set_real_ip_from=("10.0.0.9/32",), x_forwarded_for=ForwardedForRule(is_append=True))
    headers = [(b"X-Forwarded-For", b"1.1.1.1")]
    assert sent(headers, NO_GRIP, settings) == [(b"X-Forwarded-For", b"1.1.1.1, 10.0.0.9")]
    assert sent(headers, NO_GRIP, settings, "10.0.0.8") == [(b"X-Forwarded-For", b"10.0.0.8")]


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
        requests.reload(Settings(sig_key="global"), {text: SigKey(key) for text in keys}, None)
        again, _ = requests.headers(head, chosen, chosen.targets[0], "", False, 0.0)
        assert again == made


def test_reload_uses_the_new_keys() -> None:
    """A key file that has been replaced counts after SIGHUP, not when the last token runs out."""
    requests = OriginRequests(Settings(sig_key="k"), {"k": SigKey(b"old")}, lambda: 0.0)
    chosen, head = route(PLAIN), RequestHead(b"GET", b"/", True, [])
    before, _ = requests.headers(head, chosen, chosen.targets[0], "", False, 0.0)
    requests.reload(Settings(sig_key="k"), {"k": SigKey(b"new")}, None)
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
    assert set(names) <= {b"a", b"te", b"eb9bf0f5", b"cdn-loop", b"x-forwarded-proto"}
    assert names.count(b"cdn-loop") == 1


def test_repeated_request_says_where_its_channels_stand() -> None:
    """Behind what the proxy says of itself; a client cannot say it, and a route without GRIP has no holds."""
    made = sent([(b"Grip-Last", b"x"), (b"A", b"1")], grip_last=[("c", "1"), ("d", "2")])
    assert made == [(b"A", b"1"), GRIP_FEATURE, (b"Grip-Last", b"c; last-id=1"), (b"Grip-Last", b"d; last-id=2")]
    assert sent([], NO_GRIP, grip_last=[("c", "1")]) == []


@pytest.mark.parametrize(
    ("channel", "last_id", "value"),
    [
        ("c", "10", b"c; last-id=10"),
        ("\u00e9", "\u00e9", b"\xc3\xa9; last-id=\xc3\xa9"),
        ("c", "", b"c; last-id="),
        ("c", "a;b", b'c; last-id="a;b"'),
        ("c", ' "\\,', b'c; last-id=" \\"\\\\,"'),
        ('"a,b"', "1", b'"a,b"; last-id=1'),
        ("a b", "1", b"a b; last-id=1"),
        ("a,b", "1", None),
        ("a;b", "1", None),
        (" a", "1", None),
        ("a\r\nX: y", "1", None),
        ("c", "1\r\nX: y", None),
        ("c\0", "1", None),
    ],
)
def test_grip_last_is_read_as_it_is_meant(channel: str, last_id: str, value: bytes | None) -> None:
    """Names and ids come from origins and publishers; one that would be read as another is not said."""
    assert encode_grip_last([(channel, last_id)]) == ([] if value is None else [(b"Grip-Last", value)])


@given(st.text(max_size=12), st.text(max_size=12))
@example("c", "\ud800")
def test_no_channel_or_id_breaks_the_header(channel: str, last_id: str) -> None:
    """Whatever a publisher calls its items."""
    for _, value in encode_grip_last([(channel, last_id)]):
        assert not set(value) & {0, 10, 13}
        assert decode_valued_params(value) == (
            channel.encode(errors="surrogatepass"),
            [(b"last-id", last_id.encode(errors="surrogatepass"))],
        )


def test_link_request_has_the_shape_of_the_reference() -> None:
    """Nothing of the client's; the route's headers stand before what the proxy says of itself."""
    line = '*,as_host=as.test,header=A:1,header=A:2,header="Host: evil",header=Grip-X:1,header=Gone: o.test:443,ssl'
    requests = OriginRequests(Settings(sig_key="k", cdn_loop="me"), {"k": SigKey(b"k")}, lambda: 0.0)
    chosen = route(line)
    made, name = requests.link_headers(chosen, chosen.targets[0], b"d.test:81", [("cs", "10")], 0.0, is_https=True)
    assert [made[0], *made[1:4]] == [
        (b"Host", b"d.test:81"),
        (b"Grip-Last", b"cs; last-id=10"),
        (b"A", b"1"),
        (b"CDN-Loop", b"me"),
    ]
    assert [name for name, _ in made[4:]] == [b"Grip-Sig", b"Grip-Feature", b"X-Forwarded-Proto"]
    assert name == "d.test"


def test_link_request_goes_by_the_targets_own_host() -> None:
    """As every other request to this target."""
    requests = OriginRequests(Settings(), {}, lambda: 0.0)
    chosen = route("* o.test:443,ssl,host=t.test:8443 o.test:80")
    made = requests.link_headers(chosen, chosen.targets[0], b"d.test", [], 0.0)
    assert made == ([(b"Host", b"t.test:8443"), GRIP_FEATURE], "t.test")
    assert requests.link_headers(chosen, chosen.targets[1], b"d.test", [], 0.0)[1] == ""


def test_the_route_that_a_request_asks_for_is_said_to_the_proxy() -> None:
    """Where it does nothing here, it may be meant for the origin."""
    headers = [(b"pushpin-route", b"a\xc3\xa9"), (b"Pushpin-Route", b"b")]
    assert sent(headers, NO_GRIP, Settings(accept_pushpin_route=True)) == []
    assert sent(headers, NO_GRIP) == headers


def test_link_to_another_server_does_not_get_the_routes_headers() -> None:
    """They may hold what only the route's own origin should know."""
    requests = OriginRequests(Settings(), {}, lambda: 0.0)
    chosen = route('*,header="Authorization: secret" o.test:80')
    for target, names in (
        (chosen.targets[0], [b"Host", b"Authorization"]),
        (Target(host="o.test", port=80), [b"Host"]),
    ):
        made, _ = requests.link_headers(chosen, target, b"d.test", [], 0.0)
        assert [name for name, _ in made] == [*names, b"Grip-Feature"]
