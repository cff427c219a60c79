"""Looks after the run while a phase waits: samples, progress line, and the guards of memory and time."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.c1m.crowd import Crowd
from benchmarks.c1m.plan import Plan
from benchmarks.c1m.probe import Probe
from benchmarks.c1m.progress import Progress
from benchmarks.c1m.readings import RollingMemory, machine_memory
from benchmarks.c1m.timeline import Phase, Sample, Timeline
from benchmarks.errors import BenchmarkError

SAMPLE_PERIOD_S = 1.0
TURN_S = 0.02
GIB = 1 << 30


class Monitor:
    """The measuring process has one thread: whatever waits, waits here.

    Args:
        floor_bytes: of MemAvailable; below it the run is stopped.
        limit_s: for the whole run.
    """

    def __init__(self, plan: Plan, crowd: Crowd, progress: Progress, floor_bytes: int, limit_s: float) -> None:
        self._plan = plan
        self._crowd = crowd
        self._progress = progress
        self._floor_bytes = floor_bytes
        self._start_s = time.monotonic()
        self._deadline_s = self._start_s + limit_s
        self._limit_s = limit_s
        self._next_sample_s = 0.0
        self._phase = "start"
        self._kernel_start_bytes = machine_memory().kernel_bytes
        self._available_bytes = machine_memory().available_bytes
        self._memory: RollingMemory | None = None
        self._probe: Probe | None = None
        self._count_connections: Callable[[], int] = lambda: crowd.held
        self.timeline = Timeline()

    def watch(self, memory: RollingMemory, probe: Probe) -> None:
        """Take these up into the samples from now on."""
        self._memory = memory
        self._probe = probe

    def count_connections_with(self, count: Callable[[], int]) -> None:
        """Take the number of connections from elsewhere than the clients, which are about to end."""
        self._count_connections = count

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Name what happens inside; it is marked in the picture, also when it is cut short."""
        self._phase = name
        start_s = self._elapsed_s()
        try:
            yield
        finally:
            self.timeline.phases.append(Phase(name, start_s, self._elapsed_s()))

    def sleep(self, duration_s: float, text: str | None = None, fraction: float | None = None) -> None:
        """Wait, under guard; the progress line shows the time unless told otherwise."""
        began_s = time.monotonic()
        while (passed_s := time.monotonic() - began_s) < duration_s:
            shown = passed_s / duration_s if fraction is None else fraction
            self.turn(shown, text or f"{passed_s:.0f} of {duration_s:.0f} s")

    def wait(self, is_done: Callable[[], bool], limit_s: float, text: str, fraction: float | None = None) -> bool:
        """Wait for something, under guard; False when it has not come about in `limit_s`."""
        began_s = time.monotonic()
        while not is_done():
            passed_s = time.monotonic() - began_s
            if passed_s > limit_s:
                return False
            self.turn(passed_s / limit_s if fraction is None else fraction, text)
        return True

    def turn(self, fraction: float, text: str) -> None:
        """Do what is due, then sleep for a moment.

        Raises:
            BenchmarkError: memory or time is short, or a client process has died.
        """
        now = time.monotonic()
        if now >= self._next_sample_s:
            self._next_sample_s = max(self._next_sample_s + SAMPLE_PERIOD_S, now)
            self._sample()
            self._guard(now)
        crowd = self._crowd
        state = f"{crowd.failed:,} failed  {crowd.lost:,} lost  {self._available_bytes / GIB:.1f} GiB free"
        self._progress.show(self._phase, fraction, f"{text}  {state}")
        time.sleep(TURN_S)

    def finish(self) -> Timeline:
        """Give the whole timeline."""
        if self._probe is not None:
            self.timeline.plain_requests = [(at_s - self._start_s, taken_s) for at_s, taken_s in self._probe.entries()]
        return self.timeline

    def _elapsed_s(self) -> float:
        return time.monotonic() - self._start_s

    def _sample(self) -> None:
        machine = machine_memory()
        self._available_bytes = machine.available_bytes
        user_bytes = self._memory.read() if self._memory is not None else 0
        kernel_bytes = max(0, machine.kernel_bytes - self._kernel_start_bytes)
        self.timeline.samples.append(Sample(self._elapsed_s(), self._count_connections(), user_bytes, kernel_bytes))

    def _guard(self, now: float) -> None:
        self._crowd.check()
        held = self._crowd.held
        if self._available_bytes < self._floor_bytes:
            raise BenchmarkError(
                f"memory guard: {self._available_bytes >> 20:,} MiB left with {held:,} connections held "
                f"(--memory-floor-mib {self._floor_bytes >> 20})"
            )
        if now > self._deadline_s:
            raise BenchmarkError(f"time guard: stopped after {self._limit_s / 60:.1f} minutes with {held:,} held")
