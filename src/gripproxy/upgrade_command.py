"""`gripproxy upgrade`: has a running instance start the program that is on disk now, and hand over to it."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence

from gripproxy import __version__
from gripproxy.config_file import Overrides, load_settings
from gripproxy.errors import ConfigError, GripProxyError
from gripproxy.handover import HANDOVER_VERSION, UPGRADE_SIGNAL
from gripproxy.settings import Settings
from gripproxy.supervisor.init_process import INIT_PID
from gripproxy.supervisor.run_directory import InstanceLock, is_alive
from gripproxy.upgrade_state import UpgradeState, read_state, state_path

FAILED_STATUS = 1  # the version that ran before serves on
NOT_RUNNING_STATUS = 3
TOO_OLD_STATUS = 4  # it runs, and must be restarted instead
TIMEOUT_S = 600.0
STAYING_S = 1.5  # whose number has been the same for so long is not just about to go over
POLL_S = 0.05
ANSWER_MAX_S = 10.0  # a supervisor takes signals at once, unless it is stopped

EPILOG = """\
The new version starts beside the running one, which hands over its listeners and its clients, and ends. If the new
version does not start, the running one goes on as if nothing had been. What cannot move, clients with TLS above all,
stays with the old processes and is ended within drain_timeout; the command waits for that.

exit status:
  0  the new version serves, and the old one is gone
  1  no upgrade: the version that ran before serves on; or it takes longer than --timeout
  3  no instance runs here
  4  what runs cannot be upgraded: restart it

examples:
  gripproxy upgrade                     the instance that the configuration describes
  gripproxy upgrade --id 1              a second instance
"""


class UpgradeError(GripProxyError):
    """There is no upgrade, for this reason."""

    def __init__(self, message: str, status: int = FAILED_STATUS) -> None:
        super().__init__(message)
        self.status = status


def main(argv: Sequence[str]) -> int:
    """Upgrade the instance that `argv` names. Gives the exit status."""
    options = new_parser().parse_args(argv)
    try:
        settings, _ = load_settings(options.config, Overrides(id=options.id, rundir=options.rundir))
        _Upgrade(settings, options.timeout, print if not options.quiet else _say_nothing).run()
    except UpgradeError as error:
        print(f"gripproxy upgrade: error: {error}", file=sys.stderr)
        return error.status
    except ConfigError as error:
        print("\n".join(f"gripproxy upgrade: error: {line}" for line in str(error).splitlines()), file=sys.stderr)
        return FAILED_STATUS
    return 0


def new_parser() -> argparse.ArgumentParser:
    """Make the command's parser."""
    parser = argparse.ArgumentParser(
        prog="gripproxy upgrade",
        description="Replace a running gripproxy by the version that is installed now, without dropping its clients.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--config", metavar="FILE", help="the instance's configuration; without it: the one that a start would find")
    add("--id", metavar="N", type=int, help="the instance's number, if it was started with --id")
    add("--rundir", metavar="DIR", help="the instance's run directory, if it was started with --rundir")
    add("--timeout", metavar="S", type=float, default=TIMEOUT_S, help="how long to wait (default: %(default)g s)")
    add("--quiet", action="store_true", help="say nothing unless it fails")
    return parser


class _Upgrade:
    """One upgrade, seen through the instance's state file."""

    def __init__(self, settings: Settings, timeout_s: float, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._path = state_path(settings)
        self._give_up_s = time.monotonic() + timeout_s
        self._say = say
        self._said_count = 0
        self._said_progress = ""

    def run(self) -> None:
        """Ask for it and see it through.

        Raises:
            UpgradeError: there is none.
        """
        pid = self._find()
        before = read_state(self._path)
        if before is None or before.pid != pid:
            raise UpgradeError(f"process {pid} is of a version that cannot hand over; restart it", TOO_OLD_STATUS)
        if before.handover_version != HANDOVER_VERSION:
            raise UpgradeError(
                f"process {pid} (version {before.version}) and version {__version__} do not know how to hand over "
                "to each other; restart it",
                TOO_OLD_STATUS,
            )
        if before.requests_count and before.outcome is None:
            raise UpgradeError(f"an upgrade of process {pid} is under way already")
        try:
            os.kill(pid, UPGRADE_SIGNAL)
        except PermissionError:
            raise UpgradeError(f"process {pid} is another user's: run this as that user or as root") from None
        except ProcessLookupError:
            raise UpgradeError(f"process {pid} is gone", NOT_RUNNING_STATUS) from None
        self._follow(pid, before)

    def _find(self) -> int:
        """Give the process of the instance's supervisor."""
        lock = InstanceLock(self._settings)
        if os.path.exists(lock.path) and not os.access(lock.path, os.R_OK):
            raise UpgradeError(f"cannot read {lock.path}: run this as root or as the user of the instance")
        pid = lock.find_owner()
        if pid is None:
            raise UpgradeError(f"no instance runs here ({lock.path})", NOT_RUNNING_STATUS)
        return pid

    def _follow(self, pid: int, before: UpgradeState) -> None:
        answer_s = time.monotonic() + ANSWER_MAX_S
        while True:
            state = read_state(self._path)
            if state is None or state.requests_count == before.requests_count:
                if not is_alive(pid):
                    raise UpgradeError(f"process {pid} has ended")
                if time.monotonic() > min(answer_s, self._give_up_s):
                    raise UpgradeError(f"process {pid} does not answer")
            else:
                self._say_steps(state)
                if state.outcome is False:
                    raise UpgradeError(f"{state.steps[-1]}; process {pid} (version {state.version}) serves on")
                if state.pid != pid:
                    self._await_elder(pid, state)
                    return
                if not is_alive(pid):
                    raise UpgradeError(f"process {pid} has ended in the middle of it")
                if time.monotonic() > self._give_up_s:
                    raise UpgradeError("still under way after --timeout")
            time.sleep(POLL_S)

    def _await_elder(self, pid: int, state: UpgradeState) -> None:
        """Wait for the end of the old processes, and say what is left in them."""
        self._say(f"process {state.pid} (version {state.version}) has taken over")
        said_count, count, since_s = 0, 0, 0.0
        while is_alive(pid):
            latest = read_state(self._path)
            if latest is None or latest.pid != state.pid:
                raise UpgradeError(f"the new version, process {state.pid}, is gone")
            if latest.elder_pid is None and pid == INIT_PID:  # a container's first process stays
                break
            if latest.elder_clients != count:
                count, since_s = latest.elder_clients, time.monotonic()
            if count not in (0, said_count) and time.monotonic() - since_s >= STAYING_S:
                said_count = count
                self._say(
                    f"{count} clients are still with the old processes; they have {self._settings.drain_timeout:g} s"
                )
            if time.monotonic() > self._give_up_s:
                raise UpgradeError(f"the new version serves, but process {pid} of the old one is still there")
            time.sleep(POLL_S)
        self._say("the old processes are gone")

    def _say_steps(self, state: UpgradeState) -> None:
        for step in state.steps[self._said_count :]:
            if state.outcome is not False or step != state.steps[-1]:
                self._say(step)
        self._said_count = len(state.steps)
        if state.progress not in ("", self._said_progress):
            self._said_progress = state.progress
            self._say(state.progress)


def _say_nothing(_text: str) -> None:
    return
