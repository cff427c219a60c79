"""A client connection while it is busy: its request comes in, the origin's response goes out.

It exists from the first byte of a request until some seconds after the response, or to the hold; before and after
that the client is an `IdleConn`, or held and no object here at all.
"""

import logging
from time import monotonic
from typing import TYPE_CHECKING

from gripproxy.engine.effects import AskOrigin
from gripproxy.engine.events import (
    OriginAnswered,
    OriginBodyCollected,
    OriginFailed,
    OriginFailure,
    RelayDone,
    RequestArrived,
)
from gripproxy.errors import ClientError
from gripproxy.protocol.http1 import (
    CHUNKED,
    LAST_CHUNK,
    NONE,
    SIZED,
    BodyFraming,
    RequestHead,
    ResponseHead,
    encode_chunk,
)
from gripproxy.scoreboard import Histogram, observe
from gripproxy_worker.client_patience import BODY, DONE, HEAD, PatientClient
from gripproxy_worker.origin_conn import Origin
from gripproxy_worker.origin_line import Ask, origin_key
from gripproxy_worker.request_body import RequestBody
from gripproxy_worker.request_reader import head_end, read_head, without_empty_lines

if TYPE_CHECKING:
    from gripproxy_worker.driver import Driver

log = logging.getLogger(__name__)

REPLAY_MAX_BYTES = 100_000  # of a request body kept for asking again, same as Pushpin
BACKLOG_PAUSE_BYTES = 65_536  # unread by the client: past this the origin is not read
STEPS_MAX_COUNT = 16  # reads and requests of one client before the others' turn: under 1 ms, or 1 MB of a body
PREFETCH_BYTES = 10_000  # of a request body, or all of it: until then no origin waits for the rest; same as Pushpin
BUS_WAIT_S = 0.001  # doubled each time, up to BUS_WAIT_MAX_S: 63 ms in all
BUS_WAIT_MAX_S = 0.032
_ORIGIN = int(Histogram.ORIGIN)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"))  # RFC 9110 section 9.2.2


class ClientConn(PatientClient):
    """One request of one client at a time. Everything that is decided here is about bytes; GRIP is the engine's."""

    __slots__ = (
        "_ask",
        "_asked_at",
        "_body",
        "_collected",
        "_collected_bytes",
        "_collect_max",
        "_effect",
        "_is_advancing",
        "_is_asking",
        "_is_body_awaited",
        "_is_input_waiting",
        "_is_opening",
        "_is_persistent",
        "_kept_body",
        "_out",
        "_relay_framing",
        "_relay_head",
        "_relayed_bytes",
        "_sent_count",
    )

    def __init__(self, driver: "Driver", fd: int, client_ip: str, buffer: bytes = b"") -> None:
        super().__init__(driver, fd, client_ip, buffer)
        self._is_input_waiting = False
        self._is_advancing = False
        self._out: list[bytes] = []
        self._reset()

    def _reset(self) -> None:
        """Be ready for the next request."""
        self._phase = HEAD
        self._head = None
        self._body: RequestBody | None = None
        self._kept_body: bytes | None = b""  # None: larger than REPLAY_MAX_BYTES
        self._effect: AskOrigin | None = None  # until its response has ended
        self._ask: Ask | None = None  # while it waits for a connection
        self._asked_at = 0.0
        self._sent_count = 0  # items that the hub had sent when the request came
        self._origin = None
        self._relay_framing: BodyFraming | None = None
        self._relay_head = b""  # not written yet
        self._relayed_bytes = 0
        self._is_persistent = False
        self._is_asking = False  # the engine knows of the request
        self._is_head_awaited = False  # the rest of it
        self._is_opening = False
        self._is_body_awaited = False  # the request has to be whole before the engine hears of the response's end
        self._collected: list[bytes] | None = None
        self._collected_bytes = 0
        self._collect_max = 0

    # The client's bytes.

    def on_readable(self) -> None:
        """Read until nothing is left, or until the request or the origin wants no more for now."""
        self._is_input_waiting = True
        self._advance()

    def _advance(self) -> None:
        """Parse what is buffered and read more, as long as there is something to do with it.

        A client can send faster than we parse, without end; so after `STEPS_MAX_COUNT` the loop serves the others.
        """
        if self._is_advancing or self._is_turn_due:
            return
        self._is_advancing = True
        try:
            for _ in range(STEPS_MAX_COUNT):
                if self._driver.sockets.records[self.fd] is not self or not self._step():
                    return
            self._is_turn_due = True
            self._driver.call_soon(self._on_turn)
        except ClientError as error:
            self._refuse(error)
        finally:
            self._is_advancing = False

    def _on_turn(self) -> None:
        self._is_turn_due = False
        self._advance()

    def _step(self) -> bool:
        """Do one thing; say whether it is worth to go on."""
        if self._phase is DONE or (self._phase is BODY and not self._is_body_wanted()):
            return False
        if self._buffer and (self._phase is BODY or self._start_request()):
            if self._phase is BODY and self._buffer and self._body is not None:
                self._take_body(self._body)
            return self._phase is not DONE
        if not self._is_input_waiting:
            self._wait()
            return False
        return self._read()

    def _read(self) -> bool:
        data = self._driver.sockets.read(self.fd)
        if data is None:
            self._is_input_waiting = False
            return True
        if not data:
            self.on_gone()
            return False
        self._is_input_waiting = self._driver.sockets.has_more
        self._buffer = self._buffer + data if self._buffer else data
        return True

    def _start_request(self) -> bool:
        """Take a request head off the buffer and begin with it; False while it is not whole."""
        settings = self._driver.settings
        max_bytes = settings.client_buffer_size
        if self._buffer[0] < 0x20:
            self._buffer = without_empty_lines(self._buffer)
        ends = head_end(self._buffer)
        if ends is None or ends[1] > max_bytes:
            if len(self._buffer) > max_bytes or ends is not None:
                raise ClientError(f"Request header size exceeded limit of {max_bytes} bytes.", 431)
            return False
        head, chunked = read_head(self._buffer[: ends[0]])
        self._buffer = self._buffer[ends[1] :]
        self._head = head
        if self._driver.sockets.is_leaving(self.fd):
            head.is_keep_alive = False
        self._driver.counts.requests_count += 1
        if head.framing is NONE or (head.framing is SIZED and head.content_length == 0):
            self._phase = DONE
            self._announce()
            return True
        self._body = RequestBody(head.content_length, chunked, settings.client_max_body_size)
        self._phase = BODY
        if self._buffer:
            self._take_body(self._body)
        elif head.is_expecting_continue:
            self._driver.outbox.put(self.fd, CONTINUE)
        return True

    def _announce(self) -> None:
        """Let the engine begin with the request."""
        self._is_asking = True
        head = self._head
        assert head is not None
        is_done = self._phase is DONE
        is_https = self._driver.sockets.is_https(self.fd)
        self._driver.dispatch(self, RequestArrived(self.fd, head, self.client_ip, is_https, is_done))

    def _is_body_wanted(self) -> bool:
        """Whether the origin takes body bytes now. Before it is connected all but the first wait in the kernel."""
        return not self._is_asking or self._is_body_awaited if self._origin is None else self._origin.is_writable

    def _take_body(self, body: RequestBody) -> None:
        content, self._buffer = body.take(self._buffer)
        if body.is_complete:
            self._phase = DONE
        if self._kept_body is not None:
            is_small = len(self._kept_body) + len(content) <= REPLAY_MAX_BYTES
            self._kept_body = self._kept_body + content if is_small else None
        if self._origin is not None:
            payload = body.encode(content)
            if payload:
                self._origin.send(payload)
            if self._driver.meter is not None:
                self._driver.meter.request_body(self.fd, len(content))
        elif not self._is_asking and (
            self._phase is DONE or self._kept_body is None or len(self._kept_body) >= PREFETCH_BYTES
        ):
            self._announce()
        elif self._is_body_awaited and (self._phase is DONE or self._kept_body is None):
            self._finish_collecting()

    # The origin.

    def ask(self, effect: AskOrigin, is_fresh: bool = False) -> None:
        """Send the request to the target of `effect`, on a connection of the pool."""
        self._effect = effect
        if not is_fresh:
            self._asked_at = monotonic()
            self._sent_count = self._driver.sent_count()
        if effect.is_websocket and not self._driver.web_sockets.has_room:
            self._ask = Ask(effect.target, effect.server_name, self._on_origin_conn, self._on_no_origin)
            text = "no file descriptor is left for another WebSocket origin"
            self._driver.call_soon(self._ask.fail, OriginFailure.CONNECT, text)
            return
        pool = self._driver.pool
        origin = None if is_fresh else pool.take_idle(origin_key(effect.target, effect.server_name))
        if origin is not None:
            self._on_origin_conn(origin)
            return
        self._ask = Ask(effect.target, effect.server_name, self._on_origin_conn, self._on_no_origin, is_fresh)
        pool.get(self._ask)

    def _on_origin_conn(self, origin: Origin) -> None:
        effect = self._effect
        assert effect is not None
        self._ask = None
        self._origin = origin
        body = self._kept_body or b""
        if self._driver.meter is not None:
            self._driver.meter.kept_body(self.fd, len(body))
        if effect.framing is CHUNKED:
            body = (encode_chunk(body) if body else b"") + (LAST_CHUNK if self._phase is DONE else b"")
        origin.ask(self, effect.head + body, effect.is_head, effect.is_websocket)
        if self._phase is BODY:
            self._advance()

    def _on_no_origin(self, failure: OriginFailure, reason: str) -> None:
        self._ask = self._effect = None
        self._driver.dispatch(self, OriginFailed(self.fd, failure, reason, is_request_done=self._phase is DONE))

    def on_origin_head(self, head: ResponseHead) -> None:
        observe(self._driver.row, _ORIGIN, monotonic() - self._asked_at)
        if self._driver.meter is not None:
            self._driver.meter.origin_head(self.fd, head)
        self._driver.dispatch(self, OriginAnswered(self.fd, head, is_request_done=self._phase is DONE))

    def on_origin_body(self, part: bytes) -> None:
        if self._driver.meter is not None:
            self._driver.meter.origin_body(self.fd, len(part))
        if self._collected is not None:
            self._collect(part)
        elif self._relay_framing is not None:
            self._out.append(part)

    def on_origin_read(self) -> None:
        """Write what one read from the origin brought, as one chunk; stop reading it while the client is behind."""
        if self._out or self._relay_head:
            self._write_out()

    def _write_out(self, end: bytes = b"") -> None:
        content = self._out[0] if len(self._out) == 1 else b"".join(self._out)
        self._out.clear()
        self._relayed_bytes += len(content)
        if content and self._driver.meter is not None:
            self._driver.meter.relayed_body(self.fd, len(content))
        if content and self._relay_framing is CHUNKED:
            content = encode_chunk(content)
        payload = self._relay_head + content + end
        self._relay_head = b""
        if not payload:
            return
        self._driver.outbox.put(self.fd, payload)
        backlog = self._driver.sockets.backlogs.get(self.fd)
        if backlog is not None and backlog.bytes_count > BACKLOG_PAUSE_BYTES and self._origin is not None:
            self._origin.pause_reading()
            if self._effect is not None and self._effect.target.zhttp_spec is None:  # which takes no connection
                key = origin_key(self._effect.target, self._effect.server_name)
                self._driver.pool.slow_readers.add(self, key)
            self._await_reader()

    def _await_reader(self) -> None:
        """Nothing goes on until the client reads."""
        self._driver.sockets.backlogs[self.fd].has_moved()
        self._wait()

    def on_origin_end(self) -> None:
        origin, self._origin = self._origin, None
        self._driver.pool.slow_readers.discard(self)
        if self._phase is not DONE and origin is not None:
            origin.abandon()  # it would take the next request for the rest of this one's body
        if self._collected is not None:
            self._is_body_awaited &= self._phase is BODY and self._kept_body is not None
            if self._is_body_awaited:
                self._advance()
            else:
                self._finish_collecting()
        elif self._relay_framing is not None:
            self._write_out(LAST_CHUNK if self._relay_framing is CHUNKED and not self._is_opening else b"")
            is_opening = self._is_opening
            self._driver.dispatch(self, RelayDone(self.fd, self._relayed_bytes))
            if not is_opening:
                self.finish(self._is_persistent)

    def on_origin_failed(self, origin: Origin, detail: str) -> None:
        self._origin = None
        self._driver.pool.slow_readers.discard(self)
        if self._is_harmless_to_repeat(origin):
            assert self._effect is not None
            self.ask(self._effect, is_fresh=True)
            return
        failure = origin.failure
        if failure is OriginFailure.CONNECT and self._kept_body is None:
            failure = OriginFailure.BROKEN  # the next target could not get the beginning of the body
        self._driver.dispatch(self, OriginFailed(self.fd, failure, detail, is_request_done=self._phase is DONE))

    def _is_harmless_to_repeat(self, origin: Origin) -> bool:
        """A kept connection that the origin closed just when it was used says nothing about the origin."""
        head = self._head
        is_stale = origin.is_reused and not origin.has_answered
        return is_stale and head is not None and head.method in IDEMPOTENT and self._kept_body is not None

    def on_origin_writable(self) -> None:
        if self._phase is BODY:
            self._advance()

    # What the engine decided.

    def relay(self, head: bytes, framing: BodyFraming, is_persistent: bool, is_opening: bool) -> None:
        """Begin the response; the origin's body follows, framed as `framing` says, and then a hold if `is_opening`."""
        self._relay_framing = framing
        self._is_persistent = is_persistent
        self._is_opening = is_opening
        self._relay_head = head

    def collect(self, max_bytes: int, is_request_awaited: bool) -> None:
        """Gather the origin's body for the engine, and then the rest of the request if it is awaited."""
        self._collected = []
        self._is_body_awaited = is_request_awaited
        self._collect_max = max_bytes

    def _collect(self, part: bytes) -> None:
        assert self._collected is not None
        self._collected_bytes += len(part)
        self._collected.append(part)
        if self._collected_bytes > self._collect_max:
            parts = self._collected
            self._finish_collecting(is_whole=False)
            if self._relay_framing is not None:
                self._out += parts

    def _finish_collecting(self, is_whole: bool = True) -> None:
        self._is_body_awaited = False
        if is_whole and self._collected is not None and not self._driver.has_handled(self._sent_count):
            self._await_bus(self._collected, BUS_WAIT_S)
        else:
            self._hand_over(is_whole)

    def _await_bus(self, collected: list[bytes], delay_s: float) -> None:
        """Make no hold yet that would be sent items from before its request.

        The bus may be quicker at another worker, where the client has just been answered with one of them.
        """
        self._driver.call_later(delay_s, self._on_bus_awaited, collected, 2 * delay_s)

    def _on_bus_awaited(self, collected: list[bytes], delay_s: float) -> None:
        if self._collected is not collected or self._driver.sockets.records[self.fd] is not self:
            return  # the client has left
        if delay_s <= BUS_WAIT_MAX_S and not self._driver.has_handled(self._sent_count):
            self._await_bus(collected, delay_s)
        else:
            self._hand_over(is_whole=True)

    def _hand_over(self, is_whole: bool) -> None:
        """Let the engine have what was collected."""
        parts, self._collected = self._collected or [], None
        body = b"".join(parts) if is_whole else None
        self._driver.dispatch(self, OriginBodyCollected(self.fd, body, self._kept_body))

    def respond(self, payload: bytes, is_persistent: bool) -> None:
        """Send a whole response in place of the origin's."""
        self._drop_origin()
        self._driver.outbox.put(self.fd, payload)
        self.finish(is_persistent)

    def finish(self, is_persistent: bool) -> None:
        """The response is written: take the next request, or close."""
        is_request_done = self._phase is DONE
        self._drop_origin()
        if not self._buffer and not self._is_input_waiting and self._driver.sockets.is_leaving(self.fd):
            is_persistent = False
        if not is_persistent or not is_request_done:
            self._driver.close_gently(self, is_input_unread=not is_request_done or self._is_input_waiting)
            return
        self._reset()
        if self.fd in self._driver.sockets.backlogs:
            self._phase = DONE  # the next request has to wait until this response is read
            self._await_reader()
        elif self._buffer or self._is_input_waiting:
            if self._driver.is_dispatching and not (self._is_advancing or self._is_turn_due):
                self._is_turn_due = True  # effects of the same event may be left
                self._driver.call_soon(self._on_turn)
            else:
                self._advance()
        elif not self._is_advancing:
            self._wait()

    def end_if_idle(self) -> None:
        """Close if the client waits for nothing, and has sent nothing."""
        if self.is_idle and not self._is_turn_due:
            self._driver.close_gently(self, is_input_unread=False)

    def on_drained(self) -> None:
        """The client read everything that waited."""
        self.active_at = self._driver.clock()
        if self._origin is not None and self._origin.is_paused:
            self._driver.pool.slow_readers.discard(self)
            self._origin.resume_reading()
        elif self._phase is DONE and self._head is None:
            self._phase = HEAD
            self._advance()

    def restore(self, head: RequestHead, body: bytes) -> None:
        """Be what it was before its hold: a connection whose whole request is here, to be asked or answered."""
        self._phase = DONE
        self._head = head
        self._kept_body = body
        self._is_asking = True
        self._is_input_waiting = True  # what came while it was held was not looked at

    def take_early_input(self) -> bytes:
        """Give what the client sent after its request, which is about to be held."""
        early, self._buffer = self._buffer, b""
        return early if self._phase is DONE else b""

    def leave(self, has_origin: bool) -> tuple[Origin | None, bool]:
        """Be a connection no more: it speaks another protocol. Gives its origin, and whether something may be read."""
        origin, self._origin = self._origin if has_origin else None, None
        self._drop_origin()
        return origin, self._is_input_waiting

    def abort(self, payload: bytes) -> None:
        """Answer with `payload` and close; once the response has begun nothing truthful can be said any more."""
        self._drop_origin()
        self._driver.outbox.flush_one(self.fd)
        if self._relay_framing is not None:
            self._driver.wheel.cancel(self)
            self._driver.sockets.close(self.fd)
            return
        self._driver.sockets.write(self.fd, payload)
        self._driver.close_gently(self, is_input_unread=True)

    def _refuse(self, error: ClientError) -> None:
        self._driver.refuse(self, error, self._head)

    def give_way(self) -> None:
        """Others wait for the connection to an origin that this client keeps without reading from it."""
        log.info("client %s: cut off, it reads too slowly while others wait for its origin", self.client_ip)
        self.on_gone()

    def on_gone(self) -> None:
        """The client left: nothing of this request matters any more."""
        self._drop_origin()
        self._driver.forget(self)

    def _drop_origin(self) -> None:
        self._effect = None
        if self._ask is not None:
            ask, self._ask = self._ask, None
            ask.cancel()
        if self._origin is not None:
            origin, self._origin = self._origin, None
            self._driver.pool.slow_readers.discard(self)
            origin.abandon()
