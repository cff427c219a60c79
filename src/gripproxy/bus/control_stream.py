"""An answer of the control server that goes on: events to somebody who listens, for as long as he does.

What he reads too slowly is dropped and not kept: the hub's memory does not depend on listeners. He is told how much.
"""

import asyncio
from collections.abc import Callable, Sequence

from gripproxy.bus.control_answer import NO_STORE, ControlAnswer

BUFFER_MAX_BYTES = 256 * 1024  # that may wait for one listener, besides what the kernel takes


class ControlStream:
    """A handler makes one, returns it, and calls `send` until `on_closed` was called."""

    def __init__(
        self,
        content_type: bytes,
        encode_lost: Callable[[int], bytes],
        on_closed: Callable[[], None],
        extra: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        """Make a stream that nobody reads yet; what is sent before the server has taken it counts as lost.

        Args:
            encode_lost: gives the piece that tells how many others were dropped since the last one that was sent.
            on_closed: called once, when the listener is gone or after `close`.
            extra: headers that go before the usual ones.
        """
        self.answer = ControlAnswer(200, b"", content_type, [NO_STORE, *extra])
        self.is_open = True
        self.lost_count = 0  # since the last piece that was sent
        self._encode_lost = encode_lost
        self._on_closed = on_closed
        self._transport: asyncio.WriteTransport | None = None
        self._is_chunked = False
        self._is_full = False

    def send(self, piece: bytes) -> None:
        """Send a piece, unless the listener is behind: then it is dropped and counted."""
        if self._transport is None or self._is_full:
            self.lost_count += 1
            return
        if self.lost_count:
            count, self.lost_count = self.lost_count, 0
            self._write(self._encode_lost(count))
        self._write(piece)

    def close(self) -> None:
        """End the body, so that the listener knows that it is whole."""
        if self._transport is not None:
            if self._is_chunked:
                self._transport.write(b"0\r\n\r\n")
            self._transport.close()
        self.on_gone()

    def attach(self, transport: asyncio.WriteTransport, is_chunked: bool) -> None:
        """Begin to write; the head is written."""
        self._transport = transport
        self._is_chunked = is_chunked
        transport.set_write_buffer_limits(BUFFER_MAX_BYTES)

    def set_full(self, is_full: bool) -> None:
        """Stop sending, or go on, as the transport says."""
        self._is_full = is_full
        if not is_full and self.lost_count and self._transport is not None:
            count, self.lost_count = self.lost_count, 0
            self._write(self._encode_lost(count))

    def on_gone(self) -> None:
        """Say that nobody reads any more."""
        self._transport = None
        if self.is_open:
            self.is_open = False
            self._on_closed()

    def _write(self, piece: bytes) -> None:
        if self._transport is not None and piece:  # an empty chunk would be the end
            self._transport.write(b"%x\r\n%s\r\n" % (len(piece), piece) if self._is_chunked else piece)
