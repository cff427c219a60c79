"""What the supervisor hands to a process it forks, and how that process says that it is ready or why it is not."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from gripproxy.handover import Takeover
from gripproxy.scoreboard import Field, ProcessState, Scoreboard
from gripproxy.settings import Settings

READY_LINE = b"ready\n"
REASON_MAX_BYTES = 4000  # below PIPE_BUF (4,096), so that one write is one whole line


@dataclass(slots=True)
class ChildContext:
    """A forked process's ties to its supervisor.

    `lifeline_fd` becomes readable (end of file) when the supervisor is gone: the child then stops by itself.
    `report_fd` takes one line: ``ready`` or the reason why the process cannot start. In a take-over the reason why it
    came to nothing may follow ``ready``.
    `takeover`: it takes the place of a process of the version before, or of several. It is ready when it could serve,
    but takes nothing in before it is told that the old ones can hand over (`handover.LISTEN_SIGNAL`).
    """

    name: str  # "hub", "worker 0"
    index: int  # worker number from 0; 0 for the hub
    row_index: int
    scoreboard: Scoreboard
    lifeline_fd: int
    report_fd: int
    has_reported: bool = False
    takeover: Takeover | None = None

    @property
    def row(self) -> memoryview:
        return self.scoreboard.row(self.row_index)

    def report_ready(self) -> None:
        """Tell the supervisor that this process serves now; from here on it must keep its heartbeat."""
        self.row[Field.STATE] = ProcessState.READY
        self._report(READY_LINE, is_last=self.takeover is None)

    def report_failure(self, reason: str) -> None:
        """Tell the supervisor why this process cannot start, or take over. The process must exit then."""
        self._report(reason.encode(errors="replace")[:REASON_MAX_BYTES], is_last=True)

    def _report(self, line: bytes, is_last: bool) -> None:
        self.has_reported = True
        os.write(self.report_fd, line)
        if is_last:
            os.close(self.report_fd)


ChildMain = Callable[[Settings, ChildContext], None]
