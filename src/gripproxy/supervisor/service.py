"""What the service manager is told of the whole, and when."""

from gripproxy.scoreboard import Field, Scoreboard
from gripproxy.supervisor.notify import Notifier
from gripproxy.supervisor.policy import Phase

STATUS_PERIOD_S = 5.0
EXTENSION_S = 15.0  # asked for again every second, so that a stop takes as long as the policy lets it, and no longer
EXTENSION_PERIOD_S = 1.0


class Service:
    """Looks at the supervisor with each turn of its loop. It speaks only for the main process: see `is_main`."""

    def __init__(self, notifier: Notifier, scoreboard: Scoreboard) -> None:
        self.is_main = True
        self._notifier = notifier
        self._scoreboard = scoreboard
        self._was_ready = self._was_stopping = self._is_reloading = False
        self._alive_s = self._extended_s = self._status_s = float("-inf")
        self._status = ""
        self._items_count = 0

    def wait_s(self, now: float) -> float:
        """Say how long there is nothing to tell unless something happens."""
        if not self._notifier.is_heard:
            return float("inf")
        due_s = self._status_s + STATUS_PERIOD_S
        if self._notifier.watchdog_s is not None:
            due_s = min(due_s, self._alive_s + self._notifier.watchdog_s / 2)
        return max(0.0, due_s - now)

    def look(self, phase: Phase, is_well: bool, now: float, is_reading: bool = False) -> None:
        """Tell what has changed and what is due.

        Args:
            is_well: every child lives, or has not been away for long.
            is_reading: the configuration is being read again.
        """
        if not self.is_main or not self._notifier.is_heard:
            return
        if phase > Phase.SERVING:
            self._look_at_stop(now)
            return
        if phase == Phase.SERVING and not self._was_ready:
            self._was_ready = True
            self._notifier.ready()
        if self._is_reloading and not is_reading:
            self._is_reloading = False
            self._notifier.ready()
        watchdog_s = self._notifier.watchdog_s
        if watchdog_s is not None and is_well and now - self._alive_s >= watchdog_s / 2:
            self._alive_s = now
            self._notifier.alive()
        if phase == Phase.SERVING and now - self._status_s >= STATUS_PERIOD_S:
            self._tell_status(now)

    def begin_reload(self) -> None:
        """Tell that the configuration is read again; each request has to be told, and one end for all."""
        if self.is_main and self._was_ready:
            self._is_reloading = True
            self._notifier.reloading()

    def give_to(self, pid: int) -> None:
        """Make another process the main process. This one has nothing more to say."""
        self._notifier.main_pid(pid)
        self.is_main = False

    def _look_at_stop(self, now: float) -> None:
        connections = f"{self._scoreboard.total(Field.CONNECTIONS)} connections left"
        if not self._was_stopping:
            self._was_stopping = True
            self._notifier.stopping(f"Stopping: {connections}")
        if now - self._extended_s >= EXTENSION_PERIOD_S:
            self._extended_s = now
            self._notifier.extend_timeout(EXTENSION_S)
            self._notifier.status(f"Stopping: {connections}")

    def _tell_status(self, now: float) -> None:
        total = self._scoreboard.total
        sent_count = self._scoreboard.row(0)[Field.ITEMS_SENT]
        rate = (sent_count - self._items_count) / (now - self._status_s) if self._status_s >= 0 else 0.0
        self._items_count, self._status_s = sent_count, now
        text = (
            f"{total(Field.CONNECTIONS)} connections ({total(Field.HELD_STREAMS)} streams, "
            f"{total(Field.HELD_RESPONSES)} long-polls, {total(Field.HELD_WEBSOCKETS)} WebSockets), "
            f"{rate:.0f} items/s, {self._scoreboard.rows_count - 1} workers"
        )
        if text != self._status:
            self._status = text
            self._notifier.status(text)
