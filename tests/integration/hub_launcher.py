"""Forks hubs and workers for tests, from a process that has neither event loop nor ZeroMQ context, as a supervisor."""

import asyncio
import os
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import uvloop

from gripproxy.bus.feed import Feed, Reader
from gripproxy.bus.hub import hub_main
from gripproxy.child import ChildContext
from gripproxy.handover import Takeover
from gripproxy.protocol.last_ids import LastIds
from gripproxy.scoreboard import Scoreboard
from gripproxy.settings import Settings
from tests.integration.hub_publisher import run_publisher

WORKERS_COUNT = 3


@dataclass(slots=True)
class Launched:
    """A process that was started. `report`: ``ready``, or why it could not start."""

    pid: int
    report: str


class HubLauncher:
    """Make it before the test makes a loop or a ZeroMQ context; `stop` takes everything down with it."""

    def __init__(self, settings: Settings, takeover: Takeover | None = None) -> None:
        self.scoreboard = Scoreboard(WORKERS_COUNT)
        self._settings = settings
        self._takeover = takeover
        commands_out, self._commands = os.pipe()
        self._answers, answers_in = os.pipe()
        self.pid = os.fork()
        if self.pid:
            os.close(commands_out)
            os.close(answers_in)
            return
        os.close(self._commands)
        os.close(self._answers)
        _run_and_exit(lambda: self._serve(commands_out, answers_in))

    def start_hub(self) -> Launched:
        return self._ask("hub")

    def start_worker(self, index: int, channel: str) -> Launched:
        """Start a process that joins the bus, subscribes to `channel`, and counts what comes in its row."""
        return self._ask(f"worker {index} {channel}")

    def start_publisher(self, kind: str, spec: str, name: str, count: int, options: str = "") -> Launched:
        """Start a process that sends ``NAME NUMBER`` to the channel "c".

        Args:
            kind: PUSH, which sends as fast as it can, or PUB, which sends when it is subscribed to.
            options: ``bind``, ``curve=PUBLIC_KEY``, ``pause=SECONDS`` between two items, ``size=BYTES`` besides.
        """
        return self._ask(f"publisher {kind} {spec} {name} {count} {options}")

    def kill_launcher(self) -> None:
        """Vanish as a supervisor that is killed."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.pid = 0

    def stop(self) -> None:
        os.close(self._commands)
        os.close(self._answers)
        if self.pid:
            os.waitpid(self.pid, 0)

    def _ask(self, command: str) -> Launched:
        os.write(self._commands, command.encode() + b"\n")
        answer = os.read(self._answers, 4096).decode()
        if not answer:
            raise AssertionError("the launcher is gone")
        pid, _, report = answer.strip().partition(" ")
        return Launched(int(pid), report)

    def _serve(self, commands_out: int, answers_in: int) -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that a process that ended leaves no trace
        lifeline_out, self._lifeline = os.pipe()
        while command := os.read(commands_out, 4096).decode().split():
            report_out, report_in = os.pipe()
            pid = os.fork()
            if not pid:
                for fd in (self._lifeline, report_out, commands_out, answers_in):
                    os.close(fd)
                index = int(command[1]) if command[0] == "worker" else 0
                row_index = index + 1 if command[0] == "worker" else 0
                context = ChildContext(command[0], index, row_index, self.scoreboard, lifeline_out, report_in)
                context.takeover = self._takeover
                _run_and_exit(lambda context=context, command=command: self._run_child(context, command))
            os.close(report_in)
            report = os.read(report_out, 4096)
            os.close(report_out)
            os.write(answers_in, b"%d %s" % (pid, report))

    def _run_child(self, context: ChildContext, command: list[str]) -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        try:
            if context.name == "hub":
                hub_main(self._settings, context)
            elif context.name == "publisher":
                context.report_ready()
                run_publisher(*command[1:])
            else:
                uvloop.run(_run_worker(self._settings, context, command[2]))
        except Exception as error:
            os.write(context.report_fd, f"{type(error).__name__}: {error}\n".encode())
            raise


async def _run_worker(settings: Settings, context: ChildContext, channel: str) -> None:
    loop = asyncio.get_running_loop()
    reader = Reader(set(), LastIds(), lambda channel, payload: None, lambda names: None)
    feed = Feed(settings.ipc_path("bus"), context.index, loop, reader, context.row)
    await feed.join(10)
    feed.subscribe(channel)
    context.report_ready()
    gone = loop.create_future()
    loop.add_reader(context.lifeline_fd, gone.set_result, None)
    await gone


def _run_and_exit(run: Callable[[], None]) -> None:
    """Never return into the test's own code."""
    try:
        run()
    except BaseException:
        traceback.print_exc()
        os._exit(3)
    os._exit(0)
