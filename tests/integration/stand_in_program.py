"""A program with the real supervisor and stand-in children, for upgrades: what it does is in the file `version`.

Run as ``python stand_in_program.py FOLDER``. Every process leaves lines in ``FOLDER/notes``.
"""

import dataclasses
import os
import signal
import sys
import time
from contextlib import closing
from pathlib import Path

from gripproxy import logs
from gripproxy.child import ChildContext
from gripproxy.errors import ConfigError
from gripproxy.handover import CALL_OFF_SIGNAL, HUB, LISTEN_SIGNAL, UPGRADE_SIGNAL, handover_path
from gripproxy.log_levels import LogLevels
from gripproxy.scoreboard import HUB_ROW, Field
from gripproxy.settings import Settings
from gripproxy.supervisor import elder as elder_module
from gripproxy.supervisor import policy, succession
from gripproxy.supervisor.elder import Elder
from gripproxy.supervisor.estate import Estate
from gripproxy.supervisor.inheritance import Inheritance
from gripproxy.supervisor.run_directory import InstanceLock
from gripproxy.supervisor.successor import this_program
from gripproxy.supervisor.supervisor import Supervisor
from tests.integration.readiness import is_readable

FOLDER = Path(sys.argv[1])
VERSION = (FOLDER / "version").read_text().split()  # words of this version's faults; none: it is good

if "broken" in VERSION:
    raise ImportError("half of it is not installed")
succession.PREPARE_MAX_S = float(os.environ["PATIENCE_S"])
succession.OFF_MAX_S = 1.0
policy.STOP_MAX_S = 1.5


def note(text: str) -> None:
    """Leave a line for the test. One write, so that lines of several processes keep their order."""
    fd = os.open(FOLDER / "notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{text}\n".encode())
    os.close(fd)


class StandIn:
    """A child: it opens its hand-over socket, or succeeds at once, when it is told to."""

    def __init__(self, settings: Settings, context: ChildContext) -> None:
        self._context = context
        self._name = f"{settings.generation} {context.name}"
        who = HUB if context.row_index == HUB_ROW else settings.seat_of(context.index)
        self._path = Path(handover_path(settings, who))
        self._is_hub = who == HUB

    def run(self) -> None:
        if "hub-fails" in VERSION and self._is_hub:
            raise ConfigError("the port is taken")
        signal.signal(signal.SIGTERM, lambda *_: self._stop())
        signal.signal(LISTEN_SIGNAL, lambda *_: self._listen())
        signal.signal(CALL_OFF_SIGNAL, lambda *_: self._call_off())
        self._say(f"runs as {os.getpid()}")
        if not ("never-ready" in VERSION and self._is_hub):
            self._context.report_ready()
        if "worker-dies" in VERSION and not self._is_hub:
            time.sleep(0.2)  # until it is known to be ready
            os.kill(os.getpid(), signal.SIGKILL)
        while True:
            self._context.row[Field.HEARTBEAT_MS] = int(time.monotonic() * 1000)
            if is_readable(self._context.lifeline_fd, 0.05):
                self._say("orphaned")
                return

    def _listen(self) -> None:
        if self._context.takeover is None:
            self._say("listens")
            self._path.touch()
            return
        self._say(f"takes over {self._context.takeover.generation}")
        if "hub-dies-taking" in VERSION and self._is_hub:
            os.kill(os.getpid(), signal.SIGKILL)
        if "worker-dies-taking" in VERSION and not self._is_hub and self._context.row[Field.RESTARTS] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        is_stuck = "hub-never-takes" in VERSION if self._is_hub else "workers-never-take" in VERSION
        if not is_stuck:
            self._context.takeover = None  # the next upgrade finds an old child here
            self._context.row[Field.SUCCEEDED] = 1

    def _call_off(self) -> None:
        self._say("goes on")
        self._path.unlink(missing_ok=True)

    def _stop(self) -> None:
        self._say("stops")
        if "slow" in VERSION and not self._is_hub:
            time.sleep(1.0)
        self._say("stopped")
        sys.exit(0)

    def _say(self, text: str) -> None:
        note(f"{self._name}: {text}")


def child_main(settings: Settings, context: ChildContext) -> None:
    StandIn(settings, context).run()


def run(elder: Elder | None) -> int:
    """Do what the command line does, in the same order."""
    signal.signal(UPGRADE_SIGNAL, signal.SIG_IGN)
    settings = Settings(rundir=str(FOLDER), workers=2, drain_timeout=0.0)
    if elder is not None:
        elder.use_stderr()
    logs.set_up(LogLevels.all(3), str(FOLDER / "log"))
    if "bad-config" in VERSION:
        raise ConfigError("g.conf:3: workers=many: not a whole number")
    if "silent" in VERSION:
        time.sleep(3600)
    if "foreign" in VERSION:
        vars(elder_module)["HANDOVER_VERSION"] = 99
    if "moved" in VERSION:
        settings = dataclasses.replace(settings, rundir=str(FOLDER / "elsewhere"))
    legacy = None if elder is None else elder.introduce(InstanceLock(settings).path)
    if legacy is not None:
        settings = dataclasses.replace(settings, generation=legacy.generation + 1)
    with closing(InstanceLock(settings, None if legacy is None else legacy.lock_fd)) as lock:
        if legacy is None:
            lock.acquire()
        estate = Estate(program=this_program(), lock=lock)
        inheritance = None
        if elder is not None and legacy is not None:
            inheritance = Inheritance(settings, elder, legacy, estate)
        note(f"{settings.generation} supervisor: runs as {os.getpid()}")
        return Supervisor(settings, child_main, child_main, estate=estate, inheritance=inheritance).run()


def main() -> int:
    elder = Elder.from_environment()
    try:
        return run(elder)
    except ConfigError as error:
        if elder is not None:
            elder.fail(str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
