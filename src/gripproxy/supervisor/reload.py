"""Has configuration and routes read again by a process of its own, so that the supervisor never waits for a file."""

import logging
import os
import signal
from collections.abc import Callable

import setproctitle

from gripproxy import logs
from gripproxy.kept_settings import read_kept_settings
from gripproxy.settings import Settings

READ_MAX_S = 300  # half a million routes take a minute; a file system that hangs takes for ever

# Reads again what runs, keeps it for the other processes, and says whether it did; the second argument: routes only.
Read = Callable[[Settings, bool], bool]

log = logging.getLogger(__name__)


class Reload:
    """One reading at a time. `lifeline_fd`: the end of the children's pipe that only the supervisor may hold."""

    def __init__(self, read: Read, lifeline_fd: int) -> None:
        self._read = read
        self._lifeline_fd = lifeline_fd
        self._pid: int | None = None
        self._settings = Settings()  # that ran when the reading began
        self._again: bool | None = None  # asked for once more meanwhile; True: routes only

    @property
    def is_under_way(self) -> bool:
        """Whether what was asked for is still to be answered by `take_exit`."""
        return self._pid is not None

    def ask(self, settings: Settings, is_routes_only: bool) -> None:
        """Begin to read; if that is being done, once more after it, as it may have come too early."""
        if self._pid is not None:
            self._again = is_routes_only and self._again is not False
            return
        self._settings = settings
        try:
            pid = os.fork()
        except OSError as error:
            log.error("not reloaded, all stays as it is: cannot fork: %s", error.strerror)
            return
        if pid == 0:
            self._be_reader(is_routes_only)
        self._pid = pid

    def take_exit(self, pid: int, wait_status: int) -> Settings | None:
        """Take the end of a process; give the settings that run from now on if it was a reader that accepted them."""
        if pid != self._pid:
            return None
        self._pid = None
        code = os.waitstatus_to_exitcode(wait_status)
        accepted = read_kept_settings(self._settings) if code == 0 else None
        if code < 0:
            log.error("not reloaded, all stays as it is: reading was ended by signal %d", -code)
        elif code == 0 and accepted is None:
            log.error("not reloaded, all stays as it is: what was read is not where it was kept")
        again, self._again = self._again, None
        if again is not None:
            self.ask(accepted or self._settings, again)
        return accepted

    def close(self) -> None:
        """Let nothing be read any more: the reader must not outlive the supervisor, whose lock it has."""
        if self._pid is not None:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = None

    def _be_reader(self, is_routes_only: bool) -> None:
        """Be the process that reads: never returns into the supervisor's code, whatever happens."""
        status = 1
        try:
            os.close(self._lifeline_fd)
            setproctitle.setproctitle("gripproxy: reload")
            logs.begin_child("supervisor")
            signal.alarm(READ_MAX_S)
            status = 0 if self._read(self._settings, is_routes_only) else 1
        except Exception:  # the last frame of a process: whatever it is must be written down
            log.exception("internal error while reading the configuration again")
        finally:
            logging.shutdown()
            os._exit(status)
