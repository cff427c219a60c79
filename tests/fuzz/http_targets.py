"""Fuzz targets for HTTP: what clients, origins and zhttp origins send."""

from gripproxy.errors import ClientError, OriginError
from gripproxy.protocol.http1 import Headers, RequestHead, breaks_lines, is_header_name
from gripproxy.protocol.jsonp import JsonpRules, decode_jsonp
from gripproxy.protocol.websocket_frame import CLOSE, CONTROL_MAX_BYTES, TEXT, Frame, encode_frame
from gripproxy.protocol.zhttp import PacketType, ResponsePacket, decode_response_packet
from gripproxy.protocol.zhttp_session import ResponseReader
from gripproxy.protocol.zhttp_socket import SocketSession
from gripproxy_worker.request_reader import ChunkedBody, read_head
from tests.worker.origin_bench import OriginBench
from tests.worker.test_request_reader import CHUNKED_HEAD, Reader


def check_headers(headers: Headers) -> None:
    """They can be written into a head without becoming other lines of it."""
    for name, value in headers:
        assert is_header_name(name), name
        assert not breaks_lines(value), value


def read_requests(*parts: bytes) -> tuple[list[tuple[bytes, bytes, bytes]], bool]:
    """Give what a client asks for, and whether the rest is refused."""
    reader = Reader()
    try:
        for part in parts:
            reader.feed(part)
    except ClientError:
        return reader.requests, True
    return reader.requests, False


def request_reader(data: bytes) -> None:
    """Requests come out the same wherever the network cuts their bytes."""
    middle = len(data) // 2
    whole, cut = read_requests(data), read_requests(data[:middle], data[middle:])
    assert whole == cut, (whole, cut)


def request_head(data: bytes) -> None:
    """What is accepted of a head can be written again."""
    try:
        head, _ = read_head(data)
    except ClientError:
        return
    check_headers(head.headers)
    assert is_header_name(head.method)
    assert not breaks_lines(head.host) and b" " not in head.host
    assert head.target.isascii() and not set(head.target) & set(b"\r\n\0 #")


def decode_chunks(*parts: bytes) -> tuple[bytes, bytes, bool] | None:
    """Give content, what follows and whether the body ended; None if it is refused."""
    decoder: ChunkedBody | None = read_head(CHUNKED_HEAD)[1]
    assert decoder is not None
    content, rest = b"", b""
    try:
        for part in parts:
            if decoder.is_complete:
                rest += part
            else:
                more, rest = decoder.feed(part)
                content += more
    except ClientError:
        return None
    return content, rest, decoder.is_complete


def chunked_body(data: bytes) -> None:
    """A body is the same in one part, in two, and byte by byte."""
    middle = len(data) // 2
    whole = decode_chunks(data)
    assert whole == decode_chunks(data[:middle], data[middle:])
    assert whole == decode_chunks(*[data[position : position + 1] for position in range(len(data))])


def origin_response(data: bytes) -> None:
    """An answer has one head at the most, nothing in it is two lines, and it ends or fails at the most once."""
    bench = OriginBench(is_head=data[:1] == b"H")
    middle = len(data) // 2
    bench.receive(data[1:middle], data[middle:])
    assert len(bench.heads) <= 1 and bench.ends_count + len(bench.failures) <= 1
    for head in bench.heads:
        check_headers(head.headers)
        assert not breaks_lines(head.reason) and 200 <= head.status <= 999
    assert bench.heads or not bench.body


def zhttp_packet(data: bytes) -> None:
    """A packet is read or refused, and so is the response that begins in it."""
    for is_head in (False, True):
        try:
            packet = decode_response_packet(data)
            came = ResponseReader(is_head).take(packet)
        except OriginError:
            return
        assert came.head is not None
        check_headers(came.head.headers)
        assert not breaks_lines(came.head.reason)
        assert not (is_head and came.body)


def zhttp_socket_packet(data: bytes) -> None:
    """Whatever a packet is to a WebSocket, before its origin has accepted and after, frames can carry it."""
    try:
        packet = decode_response_packet(data)
    except OriginError:
        return
    for accepts_count in range(3):
        session = SocketSession(b"a", b"p", 0.0)
        for seq in range(accepts_count):
            session.receive(ResponsePacket([], PacketType.DATA if seq else PacketType.KEEP_ALIVE, b"wk"), seq, 0.0)
        session.send([Frame(TEXT, b"x"), Frame(CLOSE, b"")], 0.0)
        came = session.receive(packet, accepts_count, 1.0)
        if came.head is not None:
            check_headers(came.head.headers)
            assert not breaks_lines(came.head.reason)
        for frame in session.take_frames():
            assert frame.opcode < CLOSE or len(frame.payload) <= CONTROL_MAX_BYTES
            encode_frame(frame.opcode, frame.payload, frame.is_final)
        for message in session.take_outgoing():
            assert message.startswith(b"T")


JSONP_RULES = (JsonpRules(), JsonpRules(is_extended=False, body_param=b"b", default_callback=b"cb"))


def jsonp_request(data: bytes) -> None:
    """What a query makes of its request can be written into a head."""
    try:
        head, _ = read_head(b"GET /?" + data + b" HTTP/1.1\r\nHost: h")
    except ClientError:
        return
    for rules in JSONP_RULES:
        try:
            meant = decode_jsonp(head, rules)
        except ClientError:
            continue
        if meant is not None:
            check_request(meant.head)


def check_request(head: RequestHead) -> None:
    """Its parts are those of one request."""
    check_headers(head.headers)
    assert is_header_name(head.method)
    assert head.target.isascii() and not set(head.target) & set(b"\r\n\0 ")
