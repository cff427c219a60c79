"""``GET /events``: requests, holds and publishes as they happen: JSON lines, server-sent events, or text as in the log.

Workers tell of them only while somebody listens. A listener who is behind loses events, and is told how many.
"""

import asyncio
import time
from collections.abc import Callable

from gripproxy.bus.control_answer import TOO_MANY_STREAMS, ControlAnswer
from gripproxy.bus.control_request import ControlRequest
from gripproxy.bus.control_stream import ControlStream
from gripproxy.bus.event_filter import KIND_NAMES, EventFilter, decode_event_filter
from gripproxy.bus.json_bytes import encode_json
from gripproxy.bus.watches import Watches
from gripproxy.logs import printable
from gripproxy.protocol.event_line import Event, EventLines
from gripproxy.scoreboard import Watch

LISTENERS_MAX_COUNT = 16
# For each listener. Nobody reads more, and telling costs the hub some 10 us each.
EVENTS_PER_S = 2_000
KEEP_ALIVE_S = 15.0  # for what lies between, and drops what is silent
SECOND_S = 1.0
_OWNER = "events"
_SSE = b"text/event-stream"
_TEXT = b"text/plain"
_JSON_LINES = b"application/x-ndjson"


class EventStream:
    """Answers ``/events``, and passes on what `note` is told, as `lines` words it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, watches: Watches, lines: EventLines) -> None:
        self._loop = loop
        self._watches = watches
        self.lines = lines
        self._listeners: dict[int, _Listener] = {}
        self._next_id = 0
        self._second: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """End all streams in order."""
        if self._second is not None:
            self._second.cancel()
        for listener in list(self._listeners.values()):
            listener.stream.close()

    def respond(self, request: ControlRequest) -> ControlAnswer | ControlStream:
        """Begin a stream of the events that the query asks for.

        Raises:
            ControlRequestError: the query is not valid.
        """
        wanted = decode_event_filter(request.parameters())
        accept = request.accept or b""
        form = next((form for form in (_SSE, _TEXT) if form in accept), _JSON_LINES)
        if request.method == b"HEAD":
            return ControlAnswer(200, b"", form)
        if len(self._listeners) >= LISTENERS_MAX_COUNT:
            return TOO_MANY_STREAMS
        listener_id, self._next_id = self._next_id, self._next_id + 1
        listener = _Listener(wanted, form, lambda: self._on_closed(listener_id))
        self._listeners[listener_id] = listener
        self._watch()
        if self._second is None:
            self._second = self._loop.call_later(SECOND_S, self._on_second)
        return listener.stream

    def note(self, event: Event) -> None:
        """Tell those who want to hear of it."""
        pieces: dict[bytes, bytes] = {}  # by form: what several want is made once
        for listener in self._listeners.values():
            if listener.wanted.passes(event) and listener.take_turn():
                piece = pieces.get(listener.form)
                if piece is None:
                    piece = pieces[listener.form] = self._encode(event, listener.form)
                listener.stream.send(piece)

    def _encode(self, event: Event, form: bytes) -> bytes:
        second = int(event.at)
        milliseconds = int((event.at - second) * 1000)
        if form == _TEXT:
            moment = f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(second))}.{milliseconds:03}"
            text = "".join([f"{moment} {printable(line)}\n" for line in self.lines.texts(event)])
            return text.encode(errors="backslashreplace")
        moment = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(second))}.{milliseconds:03}Z"
        return _frame(KIND_NAMES[type(event)], {"time": moment, **self.lines.values(event)}, form)

    def _on_closed(self, listener_id: int) -> None:
        del self._listeners[listener_id]
        self._watch()

    def _watch(self) -> None:
        bits = Watch(0)
        for listener in self._listeners.values():
            bits |= listener.wanted.watch
        self._watches.set(_OWNER, bits)

    def _on_second(self) -> None:
        self._second = None
        for listener in list(self._listeners.values()):
            listener.on_second()
        if self._listeners:
            self._second = self._loop.call_later(SECOND_S, self._on_second)


class _Listener:
    """One stream, what it wants, and how much it had in this second."""

    def __init__(self, wanted: EventFilter, form: bytes, on_closed: Callable[[], None]) -> None:
        self.wanted = wanted
        self.form = form
        self.stream = ControlStream(form, lambda count: _encode_lost(count, form), on_closed)
        self._left_count = EVENTS_PER_S
        self._lost_count = 0
        self._silent_s = 0.0

    def take_turn(self) -> bool:
        """Say whether one more event may be sent in this second; one that may not is counted."""
        if not self._left_count:
            self._lost_count += 1
            return False
        self._left_count -= 1
        self._silent_s = 0.0
        return True

    def on_second(self) -> None:
        """Allow as much again, say what this second had too much of, and keep the connection alive."""
        self._left_count = EVENTS_PER_S
        if self._lost_count:
            count, self._lost_count = self._lost_count, 0
            self.stream.send(_encode_lost(count, self.form))
        self._silent_s += SECOND_S
        if self._silent_s >= KEEP_ALIVE_S:
            self._silent_s = 0.0
            self.stream.send(b": still here\n\n" if self.form == _SSE else b"\n")


def _encode_lost(count: int, form: bytes) -> bytes:
    if form == _TEXT:
        return b"(%d more, too fast to be told one by one)\n" % count
    return _frame("lost", {"event": "lost", "count": count}, form)


def _frame(kind: str, values: dict[str, object], form: bytes) -> bytes:
    line = encode_json(values)
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), line) if form == _SSE else line + b"\n"
