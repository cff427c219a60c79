"""A request to an origin over ZeroMQ, in the place of a connection to an HTTP origin."""

import logging
from typing import TYPE_CHECKING

from gripproxy.engine.events import OriginFailure
from gripproxy.errors import InternalError
from gripproxy.protocol.route_target import Target
from gripproxy.protocol.zhttp import (
    REQ_BODY_MAX_BYTES,
    RequestId,
    ResponsePacket,
    ZhttpRequest,
    decode_chunks,
    decode_request_head,
    encode_req,
)
from gripproxy.protocol.zhttp_session import ReqSession, StreamSession
from gripproxy.protocol.zhttp_socket import SocketSession
from gripproxy.protocol.zhttp_stream import BROKEN, Came, ZhttpFailure, failed
from gripproxy_worker.origin_conn import Asker
from gripproxy_worker.ws_origin import OriginSocket, SocketOwner
from gripproxy_worker.zhttp_socket import UNSENT_MAX_BYTES, ZhttpSocket

if TYPE_CHECKING:
    from gripproxy_worker.zhttp_client import ZhttpClient

log = logging.getLogger(__name__)

_FAILURES = {
    ZhttpFailure.UNREACHED: OriginFailure.CONNECT,
    ZhttpFailure.BROKEN: OriginFailure.BROKEN,
    ZhttpFailure.TIMED_OUT: OriginFailure.UNREACHABLE,
    ZhttpFailure.LENGTH_REQUIRED: OriginFailure.LENGTH_REQUIRED,
    ZhttpFailure.POLICY: OriginFailure.BLOCKED,
}


class ZhttpConn:
    """What an asker takes for its connection to an origin: for one request, and never used again.

    It gets what an HTTP origin would get, head and body as they are written for that, and takes it apart again: both
    are of our own making.
    """

    __slots__ = (
        *("_client", "_left_bytes", "asker", "failure", "has_answered", "is_paused", "is_untaken", "name"),
        *("target",),
    )

    is_reused = False

    def __init__(self, client: "ZhttpClient", target: Target, name: bytes) -> None:
        self.asker: Asker | None = None
        self.failure = OriginFailure.BROKEN  # how it failed, once it has
        self.has_answered = False
        self.is_paused = False
        self.is_untaken = False  # no origin can have read it
        self.name = name
        self.target = target
        self._client = client
        self._left_bytes: int | None = 0  # of the request's body; None: it comes in chunks

    @property
    def is_writable(self) -> bool:
        return not self._client.is_behind

    @property
    def is_answer_pending(self) -> bool:
        """Whether the origin still works on it, so that leaving means to cancel. A REP socket has to answer anyway."""
        return False

    # The asker's side: see `OriginConn`.

    def ask(self, asker: Asker, payload: bytes, is_head: bool, is_websocket: bool = False) -> None:
        self.asker = asker
        head, _, rest = payload.partition(b"\r\n\r\n")
        request, self._left_bytes = decode_request_head(head, self.target)
        body, is_whole = self._take_body(rest)
        self._begin(request, body, is_whole, is_head)

    def send(self, payload: bytes) -> None:
        self._add(*self._take_body(payload))

    def open_socket(self, owner: SocketOwner, conn_id: int, is_deflating: bool) -> OriginSocket:
        """Be the origin of a WebSocket client from now on."""
        raise InternalError(f"{self.target.label} has not switched protocols")

    def abandon(self) -> None:
        self.asker = None
        self._close()

    def leave(self) -> None:
        """Forget who asked: the worker stops."""
        self.asker = None

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def _take_body(self, payload: bytes) -> tuple[bytes, bool]:
        """Give the content in `payload`, and whether it is the last of it."""
        if self._left_bytes is None:
            return decode_chunks(payload)
        self._left_bytes -= len(payload)
        return payload, self._left_bytes == 0

    # The origin's side.

    def on_packet(self, packet: ResponsePacket, seq: int | None) -> None:
        """Take a packet that is for this request."""
        raise NotImplementedError

    def on_failed(self, detail: str, is_untaken: bool = False) -> None:
        """The request cannot go on."""
        self.is_untaken = is_untaken
        self._take(failed(BROKEN, detail))

    def on_time(self, now: float) -> RequestId | None:
        """Fail if the origin is silent for too long; else give the number of a keep-alive that is due."""
        raise NotImplementedError

    def on_link_writable(self) -> None:
        """The way to the hub is free again."""
        if self.asker is not None:
            self.asker.on_origin_writable()

    def _begin(self, request: ZhttpRequest, body: bytes, is_whole: bool, is_head: bool) -> None:
        raise NotImplementedError

    def _add(self, body: bytes, is_whole: bool) -> None:
        raise NotImplementedError

    def _take(self, came: Came) -> None:
        """Hand over what came."""
        asker = self.asker
        if asker is None:
            return
        if came.failure is not None:
            self.failure = _FAILURES[came.failure]
            self.abandon()
            asker.on_origin_failed(self, came.detail)
            return
        if came.head is not None:
            asker.on_origin_head(came.head)
            if came.head.status == 101:
                return
        if came.body and self.asker is not None:
            asker.on_origin_body(came.body)
        if self.asker is not None:
            if came.is_end:
                self.abandon()
                asker.on_origin_end()
            else:
                asker.on_origin_read()

    def _close(self) -> None:
        self._client.close_request(self)


class ReqConn(ZhttpConn):
    """A request to a zhttpreq target: sent when it is whole."""

    __slots__ = ("_body", "_body_bytes", "_request", "_session")

    def _begin(self, request: ZhttpRequest, body: bytes, is_whole: bool, is_head: bool) -> None:
        self._session = ReqSession(is_head, self._client.clock())
        self._request = request
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._add(body, is_whole)

    def _add(self, body: bytes, is_whole: bool) -> None:
        self._body.append(body)
        self._body_bytes += len(body)
        known_bytes = self._body_bytes + (self._left_bytes or 0)
        if known_bytes > REQ_BODY_MAX_BYTES:
            self._body.clear()
            self._client.fail_soon(self, f"the request's body exceeds {REQ_BODY_MAX_BYTES} bytes")
        elif is_whole:
            packet = encode_req(self._request, self.name, self._client.instance, b"".join(self._body))
            self._body.clear()
            self._client.open_request(self, packet)

    def on_packet(self, packet: ResponsePacket, seq: int | None) -> None:
        self.has_answered = True
        self._take(self._session.receive(packet))

    def on_time(self, now: float) -> RequestId | None:
        self._take(self._session.check(now))
        return None


class StreamConn(ZhttpConn):
    """A request to a zhttp target: sent, and answered, as far as credits go. One for a WebSocket may become that."""

    __slots__ = ("_session",)

    _session: StreamSession | SocketSession

    def ask(self, asker: Asker, payload: bytes, is_head: bool, is_websocket: bool = False) -> None:
        if not is_websocket:
            super().ask(asker, payload, is_head)
            return
        self.asker = asker
        request, _ = decode_request_head(payload.partition(b"\r\n\r\n")[0], self.target)
        client = self._client
        session = self._session = SocketSession(self.name, client.instance, client.clock())
        client.open_request(self, session.begin(request))

    def open_socket(self, owner: SocketOwner, conn_id: int, is_deflating: bool) -> OriginSocket:
        """Let the request be the origin of a WebSocket client. Messages over ZeroMQ are never compressed."""
        assert isinstance(self._session, SocketSession)
        self.asker = None
        return ZhttpSocket(self._client, self.target, self._session, owner, conn_id)

    @property
    def is_writable(self) -> bool:
        return not self._client.is_behind and self._session.unsent_bytes < UNSENT_MAX_BYTES

    @property
    def is_answer_pending(self) -> bool:
        return self._session.is_answer_pending

    @property
    def address(self) -> bytes | None:
        return self._session.address

    @property
    def is_multi(self) -> bool:
        return self._session.is_multi

    def _begin(self, request: ZhttpRequest, body: bytes, is_whole: bool, is_head: bool) -> None:
        client = self._client
        session = self._session = StreamSession(self.name, client.instance, is_head, client.clock())
        client.open_request(self, session.begin(request, body, is_whole))

    def _add(self, body: bytes, is_whole: bool) -> None:
        assert isinstance(self._session, StreamSession)
        self._session.add_body(body, is_whole, self._client.clock())
        self._flush()

    def resume_reading(self) -> None:
        self.is_paused = False
        self._grant()

    def on_packet(self, packet: ResponsePacket, seq: int | None) -> None:
        session = self._session
        was_writable = self.is_writable
        self.has_answered = True
        came = session.receive(packet, seq, self._client.clock())
        self._flush()
        self._take(came)
        if self.asker is not None:
            if not self.is_paused:
                self._grant()
            if self.is_writable and not was_writable:
                self.asker.on_origin_writable()

    def on_time(self, now: float) -> RequestId | None:
        self._take(self._session.check(now))
        return None if self.asker is None else self._session.keep_alive(now)

    def _grant(self) -> None:
        self._session.grant(self._client.clock())
        self._flush()

    def _flush(self) -> None:
        for packet in self._session.take_outgoing():
            self._client.send([self.name], packet)

    def _close(self) -> None:
        if self._session.excess_bytes and self._client.is_open(self):
            log.warning("%s sent %d bytes more than it had credits for", self.target.label, self._session.excess_bytes)
        super()._close()
