"""Bytes by route, counted while somebody wants to know: statistics reports have them.

Sizes of heads are estimates, as in Pushpin: method, target, status and reason, names and values, without separators;
and without what only says how the body is framed, unless the origin said so.
"""

import re
from collections.abc import Collection

from gripproxy.engine.client_request import ClientRequest
from gripproxy.engine.core import Core
from gripproxy.engine.holds import StreamHold
from gripproxy.engine.traffic import RouteTraffic
from gripproxy.engine.ws_session import WsSession
from gripproxy.protocol.http1 import LAST_CHUNK, ResponseHead
from gripproxy.protocol.telemetry import Traffic
from gripproxy.protocol.websocket_frame import CLOSE, Frame

_CLIENT_HEAD_IN, _CLIENT_HEAD_OUT = int(Traffic.CLIENT_HEADER_BYTES_RECEIVED), int(Traffic.CLIENT_HEADER_BYTES_SENT)
_CLIENT_BODY_IN, _CLIENT_BODY_OUT = int(Traffic.CLIENT_CONTENT_BYTES_RECEIVED), int(Traffic.CLIENT_CONTENT_BYTES_SENT)
_SERVER_HEAD_IN, _SERVER_HEAD_OUT = int(Traffic.SERVER_HEADER_BYTES_RECEIVED), int(Traffic.SERVER_HEADER_BYTES_SENT)
_SERVER_BODY_IN, _SERVER_BODY_OUT = int(Traffic.SERVER_CONTENT_BYTES_RECEIVED), int(Traffic.SERVER_CONTENT_BYTES_SENT)
_CLIENT_MESSAGES_IN, _CLIENT_MESSAGES_OUT = int(Traffic.CLIENT_MESSAGES_RECEIVED), int(Traffic.CLIENT_MESSAGES_SENT)
_SERVER_MESSAGES_IN, _SERVER_MESSAGES_OUT = int(Traffic.SERVER_MESSAGES_RECEIVED), int(Traffic.SERVER_MESSAGES_SENT)
_START_LINE_BYTES = 10  # of a start line: its version and two blanks
_CHUNKED = b"Transfer-Encoding: chunked"
_RELAYED_FRAMING = re.compile(rb"\r\n(?:Transfer-Encoding|Connection): [^\r]*")
_OWN_FRAMING = re.compile(rb"\r\n(?:Transfer-Encoding|Connection|Content-Length): [^\r]*")


def head_size(head: bytes) -> int:
    """Estimate the size of an encoded head, with or without its empty line."""
    head = head.rstrip(b"\r\n")
    return max(0, len(head) - _START_LINE_BYTES - 4 * head.count(b"\r\n"))


def chunks_size(payload: bytes) -> int:
    """Give the size of the content of whole chunks."""
    size = position = 0
    while (end := payload.find(b"\r\n", position)) >= 0:
        chunk_size = int(payload[position:end] or b"0", 16)
        size += chunk_size
        position = end + 2 + chunk_size + 2
    return size


def written_messages(payload: bytes) -> tuple[int, int]:
    """Give how many bytes of messages whole frames to a client hold, and how many messages end in them."""
    begin, content_bytes, messages_count = 0, 0, 0
    while begin < len(payload):
        size, head_bytes = payload[begin + 1], 2
        if size > 125:
            head_bytes = 4 if size == 126 else 10
            size = int.from_bytes(payload[begin + 2 : begin + head_bytes], "big")
        if payload[begin] & 0x0F < CLOSE:
            content_bytes += size
            messages_count += payload[begin] >> 7
        begin += head_bytes + size
    return content_bytes, messages_count


class Meter:
    """Counts into the routes of the connections that it is told of.

    The engine is done with a connection before its last bytes are sent, so the routes of those are remembered until
    their next request.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._ended: dict[int, RouteTraffic] = {}
        self._fresh: set[int] = set()  # whose request has asked no origin yet

    def began(self, conn_id: int, request: ClientRequest) -> None:
        """A request came."""
        self._ended.pop(conn_id, None)
        self._fresh.add(conn_id)
        head = request.head
        fields = sum(len(name) + len(value) for name, value in head.headers)
        request.traffic.values[_CLIENT_HEAD_IN] += len(head.method) + len(head.target) + fields

    def ended(self, conn_id: int, traffic: RouteTraffic) -> None:
        """The request, or its hold, is over but for what is still to be sent."""
        self._ended[conn_id] = traffic
        self._fresh.discard(conn_id)

    def asked(self, conn_id: int, head: bytes) -> None:
        """A request goes to an origin."""
        self._values(conn_id)[_SERVER_HEAD_OUT] += head_size(head.partition(b"\r\n\r\n")[0])

    def kept_body(self, conn_id: int, size: int) -> None:
        """So much of a request's body was here, and goes to an origin; maybe not to the first one."""
        values = self._values(conn_id)
        values[_SERVER_BODY_OUT] += size
        if conn_id in self._fresh:
            self._fresh.remove(conn_id)
            values[_CLIENT_BODY_IN] += size

    def request_body(self, conn_id: int, size: int) -> None:
        """So much of a request's body came from the client, for the origin."""
        values = self._values(conn_id)
        values[_CLIENT_BODY_IN] += size
        values[_SERVER_BODY_OUT] += size

    def origin_head(self, conn_id: int, head: ResponseHead) -> None:
        """An origin's response head came."""
        self._values(conn_id)[_SERVER_HEAD_IN] += _response_size(head)

    def origin_body(self, conn_id: int, size: int) -> None:
        """So much of an origin's response body came."""
        self._values(conn_id)[_SERVER_BODY_IN] += size

    def link_asked(self, traffic: RouteTraffic | None, payload: bytes) -> None:
        """A request of our own goes to an origin, with its body."""
        if traffic is not None:
            head, _, body = payload.partition(b"\r\n\r\n")
            traffic.values[_SERVER_HEAD_OUT] += head_size(head)
            traffic.values[_SERVER_BODY_OUT] += len(body)

    def link_head(self, traffic: RouteTraffic | None, head: ResponseHead) -> None:
        """The head of its response came."""
        if traffic is not None:
            traffic.values[_SERVER_HEAD_IN] += _response_size(head)

    def link_body(self, traffic: RouteTraffic | None, size: int) -> None:
        """So much of the body of its response came."""
        if traffic is not None:
            traffic.values[_SERVER_BODY_IN] += size

    def relayed_head(self, conn_id: int, head: bytes) -> None:
        """A client gets this head, which is the origin's but for the framing."""
        self._values(conn_id)[_CLIENT_HEAD_OUT] += head_size(_RELAYED_FRAMING.sub(b"", head))

    def relayed_body(self, conn_id: int, size: int) -> None:
        """A client gets so much of a body."""
        self._values(conn_id)[_CLIENT_BODY_OUT] += size

    def responded(self, payload: bytes, conn_ids: Collection[int]) -> None:
        """Each of these gets a response of our own, or the beginning of a stream."""
        head, _, body = payload.partition(b"\r\n\r\n")
        body_bytes = chunks_size(body) if _CHUNKED in head else len(body)
        head_bytes = head_size(_OWN_FRAMING.sub(b"", head))
        for conn_id in conn_ids:
            values = self._values(conn_id)
            values[_CLIENT_HEAD_OUT] += head_bytes
            values[_CLIENT_BODY_OUT] += body_bytes

    def finished(self, payload: bytes, conn_ids: Collection[int]) -> None:
        """Each of these holds ends with a response, or with the end of its stream."""
        if payload.startswith(b"HTTP/1."):
            self.responded(payload, conn_ids)
        else:
            self._count_stream(chunks_size(payload) if payload.endswith(LAST_CHUNK) else len(payload), conn_ids)

    def streamed(self, payload: bytes, conn_ids: Collection[int]) -> None:
        """Each of these streams, which are framed alike, gets a part of its body; or these WebSocket clients frames."""
        first_id = next(iter(conn_ids), None)
        hold = None if first_id is None else self._hold(first_id)
        if isinstance(hold, WsSession):
            self.frames_written(payload, conn_ids)
            return
        is_chunked = isinstance(hold, StreamHold) and hold.shape.is_chunked
        self._count_stream(chunks_size(payload) if is_chunked else len(payload), conn_ids)

    def frames_written(self, payload: bytes, conn_ids: Collection[int]) -> None:
        """Each of these WebSocket clients gets these frames."""
        content_bytes, messages_count = written_messages(payload)
        for conn_id in conn_ids:
            values = self._values(conn_id)
            values[_CLIENT_BODY_OUT] += content_bytes
            values[_CLIENT_MESSAGES_OUT] += messages_count

    def frames_came(self, conn_id: int, frames: list[Frame]) -> None:
        """A WebSocket client sent these."""
        self._count_frames(conn_id, frames, _CLIENT_BODY_IN, _CLIENT_MESSAGES_IN)

    def frames_to_origin(self, conn_id: int, frames: list[Frame]) -> None:
        """A client's WebSocket origin is sent these."""
        self._count_frames(conn_id, frames, _SERVER_BODY_OUT, _SERVER_MESSAGES_OUT)

    def frames_from_origin(self, conn_id: int, frames: list[Frame]) -> None:
        """A client's WebSocket origin sent these."""
        self._count_frames(conn_id, frames, _SERVER_BODY_IN, _SERVER_MESSAGES_IN)

    def _count_frames(self, conn_id: int, frames: list[Frame], body_index: int, messages_index: int) -> None:
        values = self._values(conn_id)
        for frame in frames:
            if frame.opcode < CLOSE:
                values[body_index] += len(frame.payload)
                values[messages_index] += frame.is_final

    def _count_stream(self, size: int, conn_ids: Collection[int]) -> None:
        for conn_id in conn_ids:
            self._values(conn_id)[_CLIENT_BODY_OUT] += size

    def _hold(self, conn_id: int) -> object:
        holds = self._core.holds.holds
        return holds[conn_id] if conn_id < len(holds) else None

    def _values(self, conn_id: int) -> list[int]:
        traffic = self._core.traffic_of(conn_id) or self._ended.get(conn_id)
        return (traffic or self._core.accounts.traffic.of("")).values


def _response_size(head: ResponseHead) -> int:
    return 3 + len(head.reason) + sum(len(name) + len(value) for name, value in head.headers)
