"""What a client has sent that its origin, over HTTP, has not taken yet."""

from gripproxy.errors import OriginError
from gripproxy.protocol.websocket_events import encode_events
from gripproxy.protocol.websocket_frame import CLOSE, CONTINUATION, PING, PONG, Frame

CONTENT_MAX_BYTES = 200_000  # of one message, of all that wait, and of one request, same as Pushpin
PIECES_MAX_COUNT = 1000  # of a message that is not whole: many small ones cost more than their bytes
EVENT_BYTES = 100  # that an event costs us besides its content: a flood of empty ones must not be free


class OutgoingEvents:
    """Whole messages and control frames in order, a CLOSE as the last; and a message that is not whole yet.

    The first of them are in the request that was made last, until its answer says how much of it was taken.
    """

    __slots__ = (
        "_cost_bytes",
        "_events",
        "_is_maxed",
        "_offered_bytes",
        "_offered_count",
        "_opcode",
        "_partial",
        "_partial_bytes",
        "is_fresh",
        "replayed_bytes",
    )

    def __init__(self) -> None:
        self.is_fresh = False  # there is something to send that does not wait for an occasion
        self.replayed_bytes = 0  # at the front, which have been sent before
        self._events: list[Frame] = []
        self._cost_bytes = 0
        self._offered_count = 0
        self._offered_bytes = 0
        self._is_maxed = False  # the request had no room for all
        self._partial: list[bytes] = []
        self._partial_bytes = 0
        self._opcode = 0  # of the message that is not whole

    @property
    def is_empty(self) -> bool:
        return not self._events and not self._opcode

    @property
    def is_offer_empty(self) -> bool:
        """Whether there is nothing in the last request, but the question whether the origin has something."""
        return not self._offered_count

    @property
    def is_full(self) -> bool:
        """Whether the client should send no more for now."""
        return self.cost_bytes >= CONTENT_MAX_BYTES

    @property
    def cost_bytes(self) -> int:
        """What it costs us."""
        return self._cost_bytes + self._partial_bytes

    @property
    def is_stuck(self) -> bool:
        """Whether a message that is not whole leaves no room for its own rest."""
        return not self._events and self._partial_bytes >= CONTENT_MAX_BYTES

    @property
    def has_close(self) -> bool:
        """Whether there is a CLOSE that was not taken yet."""
        return bool(self._events) and self._events[-1].opcode == CLOSE

    def push(self, frame: Frame) -> None:
        """Take a client's frame, or a piece of one."""
        opcode, payload = frame.opcode, frame.payload
        if opcode in (PING, PONG) or (frame.is_final and opcode != CONTINUATION):
            self._append(frame)
        else:
            if opcode != CONTINUATION:
                self._opcode = opcode
            self._partial.append(payload)
            self._partial_bytes += len(payload)
            if frame.is_final:
                self._append(Frame(self._opcode, b"".join(self._partial)))
                self._drop_partial()
            elif len(self._partial) > PIECES_MAX_COUNT:
                self._partial = [b"".join(self._partial)]

    def close(self, content: bytes) -> None:
        """Let a CLOSE be the last. A message that is not whole by now never will be."""
        self._drop_partial()
        self._append(Frame(CLOSE, content))

    def forget(self) -> None:
        """Forget all that is not in the last request."""
        self._drop_partial()
        del self._events[self._offered_count :]
        self._cost_bytes = self._offered_bytes + self._offered_count * EVENT_BYTES
        self.is_fresh = False

    def offer(self, is_single: bool) -> None:
        """Choose what is in the next request: all that there is room for, or with `is_single` one event."""
        count = size_bytes = 0
        for frame in self._events:
            if count and (is_single or size_bytes + len(frame.payload) > CONTENT_MAX_BYTES):
                break
            count += 1
            size_bytes += len(frame.payload)
        self._offered_count, self._offered_bytes = count, size_bytes
        self._is_maxed = count < len(self._events)
        self.is_fresh = False

    def encode_offered(self) -> bytes:
        """Write the body of the request, which is the same whenever it is repeated."""
        return encode_events(self._events[: self._offered_count])

    def take(self, accepted_bytes: int | None) -> None:
        """Let go of what the origin has taken of the last request: from its front, or with None all of it.

        A message of which it took a part becomes one with the rest. What is left is not fresh: it waits for more to
        say, but for a CLOSE, if the origin took something at all.

        Raises:
            OriginError: it took more than it was offered, nothing where there was no room for all, or a close by half.
        """
        offered_count, offered_bytes = self._offered_count, self._offered_bytes
        self._offered_count = self._offered_bytes = 0
        if accepted_bytes is None or accepted_bytes == offered_bytes:
            self._remove(offered_count)
            self.replayed_bytes = 0
            self.is_fresh = bool(self._events)
            return
        if accepted_bytes > offered_bytes:
            raise OriginError(f"it accepted {accepted_bytes} bytes of {offered_bytes}")
        if not accepted_bytes and self._is_maxed:
            raise OriginError("it accepted nothing of a request that had no room for all")
        last = self._events[offered_count - 1]
        close_bytes = len(last.payload) if last.opcode == CLOSE else 0
        if close_bytes and accepted_bytes >= offered_bytes - close_bytes:
            raise OriginError("it accepted what is before a close but not the close")
        has_more = offered_count < len(self._events)
        self._remove_bytes(accepted_bytes)
        self.replayed_bytes = offered_bytes - close_bytes - accepted_bytes
        self.is_fresh = has_more or (self.has_close and accepted_bytes > 0)

    def _append(self, frame: Frame) -> None:
        self._events.append(frame)
        self._cost_bytes += len(frame.payload) + EVENT_BYTES
        self.is_fresh = True

    def _remove(self, count: int) -> None:
        self._cost_bytes -= sum([len(frame.payload) for frame in self._events[:count]]) + count * EVENT_BYTES
        del self._events[:count]

    def _remove_bytes(self, size_bytes: int) -> None:
        if not size_bytes:
            return
        count = 0
        while len(self._events[count].payload) <= size_bytes:
            size_bytes -= len(self._events[count].payload)
            count += 1
        self._remove(count)
        if size_bytes:
            cut = self._events[0]
            self._events[0] = Frame(cut.opcode, cut.payload[size_bytes:])
            self._cost_bytes -= size_bytes

    def _drop_partial(self) -> None:
        self._partial = []
        self._partial_bytes = self._opcode = 0
