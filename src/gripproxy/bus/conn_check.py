"""Asks the workers which ids are connections of theirs, and puts their answers together."""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gripproxy.bus.outlet import Outlet
from gripproxy.protocol.connection_id import worker_of
from gripproxy.protocol.telemetry import LiveConnsRecord

TIMEOUT_S = 1.0
OPEN_MAX_COUNT = 1_000  # questions under way: their answers are collected here

OnAnswer = Callable[[list[str] | None], None]


@dataclass(slots=True)
class _Question:
    on_answer: OnAnswer
    missing: set[int]  # workers that have not answered
    live: list[str]
    deadline: asyncio.TimerHandle


class ConnCheck:
    """Ids say whose they are, as ``WORKER-...`` or a WebSocket's UUID: only those workers are waited for.

    `is_serving` says which workers there are. With `has_moved` connections may have come to other workers than made
    their ids: all on the bus are waited for. `on_record` is to be called with each worker's answer.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        outlet: Outlet,
        is_serving: Callable[[int], bool],
        has_moved: bool = False,
    ) -> None:
        self._loop = loop
        self._outlet = outlet
        self._is_serving = is_serving
        self._has_moved = has_moved
        self._next_query = secrets.randbits(32)  # no late answer to a killed hub's question is one to ours
        self._questions: dict[int, _Question] = {}

    def __len__(self) -> int:
        return len(self._questions)

    def ask(self, conn_ids: Sequence[str], on_answer: OnAnswer, is_refresh: bool = False) -> None:
        """Call back with those of the ids that are connections, each once; with None if that could not be found out.

        With `is_refresh` only WebSockets are meant, and they are refreshed.
        """
        by_worker: dict[int, dict[str, None]] = {}
        for conn_id in conn_ids:
            worker_index = _worker_of(conn_id)
            if worker_index is not None and (self._has_moved or self._is_serving(worker_index)):
                by_worker.setdefault(worker_index, {})[conn_id] = None
        workers = set(self._outlet.joined) if self._has_moved else set(by_worker)
        if not by_worker or not workers:
            on_answer([])
        elif len(self._questions) >= OPEN_MAX_COUNT:
            on_answer(None)
        else:
            query = self._next_query
            self._next_query += 1
            deadline = self._loop.call_later(TIMEOUT_S, self._finish, query, None)
            self._questions[query] = _Question(on_answer, workers, [], deadline)
            asked_ids = [conn_id for ids in by_worker.values() for conn_id in ids]
            self._outlet.tell_conn_check(query, asked_ids, is_refresh)

    def on_record(self, record: LiveConnsRecord) -> None:
        """Take a worker's answer."""
        question = self._questions.get(record.query)
        if question is None or record.worker_index not in question.missing:
            return
        question.missing.discard(record.worker_index)
        question.live += record.ids
        if not question.missing:
            self._finish(record.query, question.live)

    def close(self) -> None:
        """Forget who asked."""
        for question in self._questions.values():
            question.deadline.cancel()
        self._questions.clear()

    def _finish(self, query: int, live: list[str] | None) -> None:
        question = self._questions.pop(query)
        question.deadline.cancel()
        question.on_answer(live)


def _worker_of(conn_id: str) -> int | None:
    worker_index = worker_of(conn_id)
    if worker_index is not None:
        return worker_index
    digits = conn_id.partition("-")[0]
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 4 else None
