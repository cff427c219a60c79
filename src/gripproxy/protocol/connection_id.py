"""Ids of WebSocket connections: UUIDs that say whose they are, so that nobody has to keep a table of them."""

_SALT_BITS, _WORKER_BITS, _CONN_BITS, _SERIAL_BITS = 40, 10, 24, 48  # 122 in all: what a random UUID has
_LOW_BITS = 62  # behind the variant
_SHAPE = "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}"
_DIGITS_COUNT = 32


class ConnectionIds:
    """Makes and reads the ids of one worker.

    Args:
        salt: random, of the process: ids of other processes and other hosts are others.
    """

    def __init__(self, worker_index: int, salt: int) -> None:
        self._head = (salt % (1 << _SALT_BITS)) << _WORKER_BITS | worker_index

    def encode(self, conn_id: int, serial: int) -> str:
        """Give the UUID (version 4 by its form) of a connection. `serial` tells it from others with the same number."""
        number = (self._head << _CONN_BITS | conn_id) << _SERIAL_BITS | serial
        high, low = number >> _LOW_BITS, number & (1 << _LOW_BITS) - 1
        value = (high >> 12) << 80 | (4 << 12 | high & 0xFFF) << 64 | 2 << 62 | low
        return _SHAPE.format(
            value >> 96, value >> 80 & 0xFFFF, value >> 64 & 0xFFFF, value >> 48 & 0xFFFF, value & 0xFFFFFFFFFFFF
        )

    def decode(self, text: str) -> tuple[int, int] | None:
        """Give connection and serial; None if it is not an id of this worker."""
        number = _number_of(text)
        if number is None:
            return None
        conn_id, serial = number >> _SERIAL_BITS & (1 << _CONN_BITS) - 1, number & (1 << _SERIAL_BITS) - 1
        return (conn_id, serial) if self.encode(conn_id, serial) == text else None


def worker_of(text: str) -> int | None:
    """Say which worker made an id; None if none did."""
    number = _number_of(text)
    return None if number is None else number >> _CONN_BITS + _SERIAL_BITS & (1 << _WORKER_BITS) - 1


def _number_of(text: str) -> int | None:
    digits = text.replace("-", "")
    if len(digits) != _DIGITS_COUNT or len(text) != _DIGITS_COUNT + 4 or not digits.isalnum() or not digits.isascii():
        return None
    try:
        value = int(digits, 16)
    except ValueError:
        return None
    high = (value >> 80) << 12 | value >> 64 & 0xFFF
    return high << _LOW_BITS | value & (1 << _LOW_BITS) - 1
