"""Many clients that hold: starts the client processes, tells them how many to open, reads what they count."""

import mmap
import multiprocessing
import os
import time
from multiprocessing.connection import Connection
from types import TracebackType

from benchmarks.errors import BenchmarkError
from benchmarks.hold_client import ROW, Counter, HoldClient, HoldTarget
from benchmarks.latency_histogram import LatencyBoard, LatencyHistogram
from benchmarks.watch import Watch

POLL_S = 0.005
_FORK = multiprocessing.get_context("fork")


class HoldSwarm:
    """Client processes and their connections; all are gone when the `with` block ends.

    The clients of a timed swarm record how old each item is, which costs them a microsecond per item.
    """

    def __init__(self, target: HoldTarget, process_count: int, is_timed: bool = False) -> None:
        self._board = LatencyBoard(process_count) if is_timed else None
        self._rows = mmap.mmap(-1, ROW.size * process_count)
        self._opened = 0
        self._pipes: list[Connection] = []
        self._processes = []
        for row in range(process_count):
            ours, theirs = _FORK.Pipe()
            self._pipes.append(ours)
            process = _FORK.Process(target=self._run_client, args=(target, theirs, row), daemon=True)
            process.start()
            theirs.close()
            self._processes.append(process)

    def __enter__(self) -> "HoldSwarm":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the client processes, which resets their connections."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(10)
            process.kill()
            process.join()

    def count(self, counter: Counter) -> int:
        """Sum one counter over the client processes."""
        return sum(ROW.unpack_from(self._rows, row * ROW.size)[counter] for row in range(len(self._processes)))

    def latencies(self) -> LatencyHistogram:
        """Give the latencies of all deliveries so far, if the swarm is timed."""
        return self._board.read() if self._board else LatencyHistogram()

    def open(self, total: int, watch: Watch) -> None:
        """Open connections until there are `total`, and wait until every one has its response head.

        Raises:
            BenchmarkError: a connection failed, or `watch` says stop.
        """
        more = total - self._opened
        processes = len(self._pipes)
        for number, pipe in enumerate(self._pipes):
            count = more // processes + (number < more % processes)
            pipe.send((self._opened, count))
            self._opened += count
        while (held := self.count(Counter.HELD)) < total:
            if self.count(Counter.FAILED):
                raise BenchmarkError(f"{self.count(Counter.FAILED)} connections failed after {held:,} were held")
            watch.check(f"{held:,} of {total:,} held")
            time.sleep(POLL_S)

    def _run_client(self, target: HoldTarget, commands: Connection, row: int) -> None:
        for pipe in self._pipes:
            pipe.close()  # inherited: while they are open here, nobody sees the parent close them
        recorder = self._board.recorder(row) if self._board else None
        HoldClient(target, commands, self._rows, row, recorder).run()
        os._exit(0)
