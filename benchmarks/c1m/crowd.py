"""All clients: starts the client processes, tells them when to connect, and adds up what they count."""

from functools import partial
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

from benchmarks.c1m.board import Board, Cell
from benchmarks.c1m.crowd_client import CrowdClient
from benchmarks.c1m.forked import Forked, close_all
from benchmarks.c1m.plan import Plan
from benchmarks.errors import BenchmarkError

ANSWER_LIMIT_S = 60.0


class Crowd:
    """The client processes; all their connections are reset when the `with` block ends."""

    def __init__(
        self, plan: Plan, ports: tuple[int, ...], client: type[CrowdClient] = CrowdClient, extra_cells: int = 0
    ) -> None:
        """`client` is what runs in each process, and writes to its row, `extra_cells` longer than that of others."""
        self._plan = plan
        self.board = Board(plan.client_processes, extra_cells)
        self._processes: list[Forked] = []
        self._ordered = 0  # processes told to connect
        self._is_leaving = False
        for process in range(plan.client_processes):
            main = partial(_run_client, client, plan, ports, self.board, process)
            self._processes.append(Forked(f"client {process}", main))

    def __enter__(self) -> "Crowd":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the client processes, which resets their connections."""
        close_all(self._processes)
        self._processes = []

    def start_leaving(self) -> None:
        """Tell all client processes to end; `has_left` says when they have."""
        self._is_leaving = True
        for process in self._processes:
            process.pipe.close()

    @property
    def has_left(self) -> bool:
        return all(process.has_ended for process in self._processes)

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._processes]

    @property
    def held(self) -> int:
        return self.board.total(Cell.HELD) - self.lost

    @property
    def failed(self) -> int:
        return self.board.total(Cell.FAILED)

    @property
    def lost(self) -> int:
        return self.board.total(Cell.LOST)

    @property
    def opened(self) -> int:
        """Connections that have their answer, good or bad."""
        return self.board.total(Cell.HELD) + self.failed

    def open_more(self) -> bool:
        """Keep `opening_processes` processes connecting; False when all have finished.

        Fewer at a time cost less: each finds more answers per turn of its loop.
        """
        busy = 0
        for process in range(self._ordered):
            done = self.board.of(process, Cell.HELD) + self.board.of(process, Cell.FAILED)
            busy += done < self._plan.range_of(process)[1]
        while self._ordered < len(self._processes) and busy < self._plan.opening_processes:
            self._processes[self._ordered].pipe.send(("open", *self._plan.range_of(self._ordered)))
            self._ordered += 1
            busy += 1
        return busy > 0

    def reopen(self) -> None:
        """Let every client process connect again for what it has lost."""
        for process in self._processes:
            process.pipe.send(("reopen",))

    def ask(self, *order: object) -> list[Any]:
        """Send an order of a kind that is answered, and give what each client process answers.

        Raises:
            BenchmarkError: one does not.
        """
        for process in self._processes:
            process.pipe.send(order)
        answers = []
        for process in self._processes:
            if not process.pipe.poll(ANSWER_LIMIT_S):
                raise BenchmarkError(f"{process.name} does not answer")
            answers.append(process.pipe.recv())
        return answers

    def open_bare(self, port: int) -> None:
        """Let every client process connect to the bare write loop."""
        for process in self._processes:
            process.pipe.send(("bare", port, self._plan.bare_sockets))

    def close_bare(self) -> None:
        """End those connections, from our side, so that none counts as lost."""
        for process in self._processes:
            process.pipe.send(("end bare",))

    def check(self) -> None:
        """Notice a dead client process: its connections are gone without being counted as lost.

        Raises:
            BenchmarkError: one has ended.
        """
        for process in self._processes:
            if process.has_ended and not self._is_leaving:
                raise BenchmarkError(f"{process.name} has ended by itself")


def _run_client(
    client: type[CrowdClient],
    plan: Plan,
    ports: tuple[int, ...],
    board: Board,
    process: int,
    orders: Connection,
) -> None:
    client(plan, ports, orders, board.row(process)).run()
