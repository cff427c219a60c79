"""Large messages on the bus, cut into parts: ZeroMQ bounds what waits for a worker by messages, not by bytes."""

from typing import Final

PART_MAX_BYTES = 131_072  # twice what items are gathered up to, so only a large item makes parts
# Msgpack, of which all other messages are, never begins with this byte. The one behind it says what follows.
_PART: Final = b"\xc1"
_FIRST, _NEXT, _LAST = _MARKS = (b"\xc1F", b"\xc1N", b"\xc1L")


def split_message(message: bytes) -> list[bytes]:
    """Cut a message into parts of at most PART_MAX_BYTES and two; a small one stays as it is."""
    if len(message) <= PART_MAX_BYTES:
        return [message]
    pieces = [message[start : start + PART_MAX_BYTES] for start in range(0, len(message), PART_MAX_BYTES)]
    return [_FIRST + pieces[0], *(_NEXT + piece for piece in pieces[1:-1]), _LAST + pieces[-1]]


class MessageJoiner:
    """Puts parts together again. Parts whose beginning has not come are those of a message from before we joined."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def take(self, message: bytes) -> bytes | None:
        """Give the message that is whole now, if there is one.

        A message that breaks off is forgotten: its hub is gone, and what is missing shows in the numbers of the next.
        """
        mark = message[:2]
        if mark[:1] != _PART or mark not in _MARKS:
            if self._pieces:
                self._pieces = []
            return message
        piece = message[2:]
        if mark == _FIRST:
            self._pieces = [piece]
        elif self._pieces:
            self._pieces.append(piece)
            if mark == _LAST:
                whole, self._pieces = b"".join(self._pieces), []
                return whole
        return None
