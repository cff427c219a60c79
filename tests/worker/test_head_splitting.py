"""CR, LF and NUL, from whomever, through every way that leads into a head: none comes out in one at the other side."""

import json
import re

import pytest

from gripproxy.errors import PublishError
from gripproxy.protocol.http1 import breaks_lines
from gripproxy.protocol.publish_item import decode_frame, decode_publish_request
from gripproxy.protocol.routes import parse_routes
from gripproxy.protocol.tnetstring import encode
from gripproxy.settings import ForwardedForRule
from tests.worker.bench import WorkerBench
from tests.worker.conftest import MakeBench

BREAKERS = [b"\r", b"\n", b"\r\n", b"\0", b"\n\r", b"\r\n\r\n"]
INJECTED = "Injected: 1"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HOLD = b"HTTP/1.1 200 OK\r\nGrip-Hold: response\r\nGrip-Channel: a\r\nContent-Length: 0\r\n\r\n"

_STRAY = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")
breakers = pytest.mark.parametrize("breaker", BREAKERS, ids=repr)


def check_heads(received: bytes) -> None:
    """Every line of a head in it ends in CRLF, and there is no NUL."""
    for head in re.findall(rb"HTTP/1.*?\r\n\r\n", received, re.DOTALL):
        assert not _STRAY.search(head), head


REQUESTS = [
    b"GET /%s HTTP/1.1\r\nHost: h\r\n\r\n",
    b"G%sET / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET / HTTP/1.1%s\r\nHost: h\r\n\r\n",
    b"GET http://h%s/ HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h%s\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nA: b%s\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nA%s: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nConnection: x%s\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.1.1.1%s\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nTE: trailers%s\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;a%s\r\nx\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nT: r%s\r\n\r\n",
]


@pytest.mark.parametrize("request_bytes", REQUESTS, ids=range(len(REQUESTS)))
@breakers
def test_from_a_client(make_bench: MakeBench, request_bytes: bytes, breaker: bytes) -> None:
    """Where a line end is one of the client's own head, what follows it is an ordinary header of that client."""
    bench = make_bench("*,orig_headers {origin}", x_forwarded_for=ForwardedForRule(is_append=True))
    client = bench.client(request_bytes % (breaker + INJECTED.encode()))
    bench.until(lambda: client.is_closed or any(b"\r\n\r\n" in origin.received for origin in bench.origins))
    for origin in bench.origins:
        assert not _STRAY.search(bytes(origin.received)), origin.received
        head = bytes(origin.received).partition(b"\r\n\r\n")[0]
        assert origin.received.count(b" HTTP/1.1\r\n") == 1
        assert head.count(b"\r\nHost: ") == 1
    check_heads(bytes(client.received))


RESPONSES = [
    b"HTTP/1.1 200 OK%s\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: b%s\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA%s: b\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Type: text/plain%s\r\n\r\n",
    b"HTTP/1.1 103 Early\r\nA: b%s\r\n\r\n" + OK,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nT: r%s\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nGrip-Status: 201 Made%s\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nGrip-Hold: stream\r\nGrip-Channel: a\r\nA: b%s\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nGrip-Hold: stream\r\nGrip-Channel: a%s\r\nContent-Length: 0\r\n\r\n",
]


@pytest.mark.parametrize("response", RESPONSES, ids=range(len(RESPONSES)))
@breakers
def test_from_an_origin(bench: WorkerBench, response: bytes, breaker: bytes) -> None:
    """Refused, or a line end of the origin's own head; cut off where the client's head is written already."""
    client = bench.client(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    bench.origin().send(response % (breaker + INJECTED.encode()))
    bench.origins[0].transport.write_eof()
    bench.until(lambda: b"\r\n\r\n" in client.received or client.is_closed)
    check_heads(bytes(client.received))
    assert client.received.count(b"HTTP/1.1 ") <= 1


@pytest.mark.parametrize(
    "place",
    [{"reason": "R%s"}, {"headers": {"A": "b%s"}}, {"headers": [["A", "b%s"]]}, {"headers": [["A%s", "b"]]}],
    ids=str,
)
@pytest.mark.parametrize("is_held", [False, True])
@breakers
def test_from_an_instruct_in_json(make_bench: MakeBench, place: object, is_held: bool, breaker: bytes) -> None:
    """There a line end can be written that is none of the origin's head."""
    bench = make_bench("*,debug {origin}")
    hold = {"hold": {"mode": "stream", "channels": [{"name": "a"}]}} if is_held else {}
    injected = breaker.decode() + INJECTED
    body = json.dumps(hold | {"response": place}).replace("%s", json.dumps(injected)[1:-1]).encode()
    client = bench.client(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/grip-instruct\r\nContent-Length: %d\r\n\r\n" % len(body)
    bench.origin().send(head + body)
    bench.until(lambda: b"\r\n\r\n" in client.received)
    assert client.received.startswith(b"HTTP/1.1 502 ")
    head = bytes(client.received).partition(b"\r\n\r\n")[0]
    assert not _STRAY.search(head) and INJECTED.encode() not in head


@pytest.mark.parametrize(
    "response",
    [{"reason": "R%s"}, {"headers": {"A": "b%s"}}, {"headers": [["A", "b%s"]]}, {"headers": [["A%s", "b"]]}],
    ids=str,
)
@breakers
def test_from_a_publisher(response: dict[str, object], breaker: bytes) -> None:
    """The item is refused, in either encoding and on either input."""
    injected = breaker.decode() + INJECTED
    text = json.dumps({"channel": "a", "http-response": response | {"body": "x"}})
    item = text.replace("%s", json.dumps(injected)[1:-1])
    with pytest.raises(PublishError):
        decode_publish_request(f'{{"items":[{item}]}}'.encode())
    with pytest.raises(PublishError):
        decode_frame(b"J" + item.encode())
    with pytest.raises(PublishError):
        decode_frame(b"T" + encode(as_bytes(json.loads(item))))


def as_bytes(value: object) -> object:
    """Make what JSON gives into what a tnetstring has."""
    if isinstance(value, dict):
        return {key.encode(): as_bytes(member) for key, member in value.items()}
    if isinstance(value, list):
        return [as_bytes(member) for member in value]
    return value.encode() if isinstance(value, str) else value


@pytest.mark.parametrize(
    "line",
    [
        "*,header=X:a%sb {}",
        '*,header="X:a%sb" {}',
        "*,header=X%sY:b {}",
        "*,as_host=a%sb {}",
        "* {},host=a%sb",
        "*,jsonp_defmethod=A%sB {}",
    ],
)
@pytest.mark.parametrize("breaker", ["\r", "\0", "\\n"], ids=repr)
def test_from_a_routes_file(line: str, breaker: str) -> None:
    """No line of it holds a LF, but an escape may be one; what breaks lines refuses the route."""
    table, warnings = parse_routes(line.format("127.0.0.1:1") % breaker, "routes")
    if breaker == "\\n" and table.count:
        route = table.find("a.test", False, b"/", False)
        assert route is not None
        assert not any(breaks_lines(value) for _, value in route.headers)
    else:
        assert (table.count, len(warnings)) == (0, 1)


def test_path_from_a_routes_file_is_encoded() -> None:
    """`replace_beg` may be written with any character."""
    table, _ = parse_routes("*,path_beg=/x,replace_beg=/a\r\0b 127.0.0.1:1", "routes")
    route = table.find("a.test", False, b"/x", False)
    assert route is not None
    assert route.rewrite_path(b"/x?c") == b"/a%0D%00b?c"
