"""What the supervisor remembers of one child, and how soon it starts one again that keeps dying."""

from dataclasses import dataclass
from enum import IntEnum

RESTART_DELAY_MIN_S = 0.1  # doubled with every further death; the first restart comes at once
RESTART_DELAY_MAX_S = 5.0
QUICK_DEATH_S = 10.0  # a child that dies sooner after its start has made no progress: back off


class ChildState(IntEnum):
    """How far one child is."""

    WAITING = 0  # not forked, until `restart_s`
    FORKED = 1  # not ready yet
    READY = 2
    GONE = 3  # while stopping: not forked any more


@dataclass(slots=True)
class Child:
    """What the policy remembers of one child."""

    name: str
    state: ChildState = ChildState.WAITING
    started_s: float = 0.0
    alive_s: float = 0.0  # it counts as alive until this moment, whatever its heartbeat says
    restart_s: float = 0.0
    quick_deaths_count: int = 0  # in a row
    failed_starts_count: int = 0  # in a row
    kill_reason: str | None = None  # SIGKILL is sent, the exit has not been seen
    is_reload_due: bool = False  # something was read again while it was not ready
    has_succeeded: bool = False  # in an upgrade: it has taken over what it was to

    @property
    def is_running(self) -> bool:
        return self.state in (ChildState.FORKED, ChildState.READY)

    def take_restart_delay_s(self, now: float) -> float:
        """Count a death, and say how long to wait before the next start."""
        has_served = self.state == ChildState.READY
        if has_served and now - self.started_s >= QUICK_DEATH_S:
            self.quick_deaths_count = 0
            return 0.0
        self.quick_deaths_count += 1
        if has_served and self.quick_deaths_count == 1:
            return 0.0
        exponent = min(max(0, self.quick_deaths_count - 2), 10)  # 10: far past the maximum, no huge number
        return min(RESTART_DELAY_MIN_S * 2.0**exponent, RESTART_DELAY_MAX_S)
