"""Both sides of one connection to an origin, over a transport that only writes down."""

import asyncio
from typing import Any

from gripproxy.protocol.http1 import ResponseHead
from gripproxy_worker.origin_conn import OriginConn
from gripproxy_worker.outbox import Outbox


class WrittenTransport(asyncio.Transport):
    """What a connection does to its socket."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_aborted = False
        self.is_fed = True
        self.unsent_bytes = 0

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def write(self, payload: Any) -> None:
        self.written += payload

    def abort(self) -> None:
        self.is_aborted = True

    def is_closing(self) -> bool:
        return self.is_aborted

    def pause_reading(self) -> None:
        self.is_fed = False

    def resume_reading(self) -> None:
        self.is_fed = True


class OriginBench:
    """Both sides of a connection: who asked, and who takes it back."""

    def __init__(self, is_head: bool = False, is_asked: bool = True) -> None:
        self.transport = WrittenTransport()
        self.heads: list[ResponseHead] = []
        self.body = b""
        self.ends_count = 0
        self.failures: list[str] = []
        self.reads_count = 0
        self.writables_count = 0
        self.freed: list[bool] = []
        self.clock = lambda: 5.0
        self.outbox: Outbox[OriginConn] = Outbox(OriginConn.write, lambda flush: None)
        self.origin = OriginConn(("h", 80, False, False, ""), self)
        self.origin.connection_made(self.transport)
        if is_asked:
            self.ask(b"request", is_head)

    def ask(self, payload: bytes, is_head: bool = False) -> None:
        """Ask, and end the loop's turn."""
        self.origin.ask(self, payload, is_head)
        self.outbox.flush()

    def on_origin_free(self, origin: OriginConn, is_reusable: bool) -> None:
        self.freed.append(is_reusable)

    def on_deadline(self, origin: OriginConn, now: float) -> None: ...

    def on_origin_head(self, head: ResponseHead) -> None:
        self.heads.append(head)

    def on_origin_body(self, part: bytes) -> None:
        self.body += part

    def on_origin_end(self) -> None:
        self.ends_count += 1

    def on_origin_failed(self, origin: OriginConn, detail: str) -> None:
        self.failures.append(detail)

    def on_origin_writable(self) -> None:
        self.writables_count += 1

    def on_origin_read(self) -> None:
        self.reads_count += 1

    def receive(self, *parts: bytes) -> "OriginBench":
        for part in parts:
            if not self.transport.is_aborted:
                self.origin.data_received(part)
        return self

    def outcome(self) -> tuple[list[int], bytes, int, list[bool]]:
        return [head.status for head in self.heads], self.body, self.ends_count, self.freed
