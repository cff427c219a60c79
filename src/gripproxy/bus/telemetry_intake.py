"""The hub's end of what workers tell of themselves: a PULL socket on a private file, and who gets which record."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

import zmq

from gripproxy.bus.watched_socket import AnyContext, WatchedSocket, bind
from gripproxy.errors import InternalError
from gripproxy.protocol.telemetry import Record, decode_records
from gripproxy.scoreboard import Field

log = logging.getLogger(__name__)

# Of each worker, waiting unread. What a worker cannot send then it drops and counts: statistics never slow anything.
MESSAGES_HWM = 1_000
BATCH_MAX_S = 0.004  # in one turn of the loop, and a message more: 500 records, which are some 4 ms
MESSAGE_MAX_BYTES = 64 * 1024 * 1024

AnyRecord = TypeVar("AnyRecord", bound=Record)


class TelemetryIntake:
    """Decodes the workers' messages, and hands each record to the callables that `subscribe` put down for its type.

    `row` is the hub's: damaged messages are counted there.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, zmq_context: AnyContext, path: str, row: memoryview) -> None:
        self._row = row
        self._consumers: dict[type[Any], list[Callable[..., None]]] = {}
        pull = zmq_context.socket(zmq.PULL)
        pull.setsockopt(zmq.RCVHWM, MESSAGES_HWM)
        pull.setsockopt(zmq.MAXMSGSIZE, MESSAGE_MAX_BYTES)
        bind(pull, "rundir", f"ipc://{path}", file_mode=0o600)
        self._recv = pull.recv
        self._socket = WatchedSocket(loop, pull, self._read_batch)

    def subscribe(self, kind: type[AnyRecord], consumer: Callable[[AnyRecord], None]) -> None:
        """Call `consumer` with every record of this type from now on, after those that were put down before."""
        self._consumers.setdefault(kind, []).append(consumer)

    def close(self) -> None:
        self._socket.close()

    def _read_batch(self) -> bool:
        deadline = time.monotonic() + BATCH_MAX_S
        try:
            while time.monotonic() < deadline:
                message = self._recv(zmq.NOBLOCK)
                try:
                    self._hand_out(decode_records(message))
                except InternalError as error:
                    self._row[Field.INTERNAL_ERRORS] += 1
                    log.error("%s", error)
        except zmq.Again:
            return False
        return True

    def _hand_out(self, records: list[Record]) -> None:
        consumers = self._consumers
        for record in records:
            for consumer in consumers.get(type(record), ()):
                consumer(record)
