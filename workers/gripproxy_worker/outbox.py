"""Small payloads that are written together at the end of the loop's turn.

A write to a process that sleeps wakes it, and it may take the CPU at once. Writes that follow each other within
microseconds wake it once; with the work of a request between any two of them it is woken for each.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

SOON_MAX_BYTES = 16_384  # for one connection; more is worth a write, and a look at how much of it was taken
WAITING_MAX_COUNT = 64  # connections: the first one has waited for 2-3 ms then

Key = TypeVar("Key")


class Outbox(Generic[Key]):
    """Payloads by connection, in order. Whoever writes to a connection past it must `take` first what waits here.

    Args:
        write: gets a connection and its bytes.
        call_soon: of the event loop.
    """

    __slots__ = ("_call_soon", "_payloads", "_write")

    def __init__(self, write: Callable[[Key, bytes], None], call_soon: Callable[[Callable[[], None]], object]) -> None:
        self._payloads: dict[Key, bytes] = {}
        self._write = write
        self._call_soon = call_soon

    def __len__(self) -> int:
        return len(self._payloads)

    def __contains__(self, key: object) -> bool:
        return key in self._payloads

    def put(self, key: Key, payload: bytes) -> None:
        """Write `payload` at the end of this turn at the latest."""
        payloads = self._payloads
        if key in payloads:
            payload = payloads.pop(key) + payload
        elif not payloads:
            self._call_soon(self.flush)
        if len(payload) > SOON_MAX_BYTES:
            self._write(key, payload)
            return
        payloads[key] = payload
        if len(payloads) >= WAITING_MAX_COUNT:
            self.flush()

    def take(self, key: Key) -> bytes:
        """Give what waits for `key`, which is then the caller's to write, or to drop."""
        return self._payloads.pop(key, b"")

    def flush_one(self, key: Key) -> None:
        """Write what waits for `key`."""
        payload = self._payloads.pop(key, None)
        if payload is not None:
            self._write(key, payload)

    def flush(self) -> None:
        """Write all that waits."""
        if self._payloads:
            payloads, self._payloads = self._payloads, {}
            for key, payload in payloads.items():
                self._write(key, payload)
