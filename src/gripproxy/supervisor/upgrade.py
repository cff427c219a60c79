"""The old supervisor's part in an upgrade: does what `Succession` says, with a process, sockets and a file."""

import contextlib
import functools
import logging
import os
from collections.abc import Callable, Iterable

from gripproxy.handover import HUB, handover_path
from gripproxy.scoreboard import HUB_ROW
from gripproxy.settings import Settings
from gripproxy.supervisor import elder
from gripproxy.supervisor.child_state import ChildState
from gripproxy.supervisor.conversation import Said
from gripproxy.supervisor.estate import Estate
from gripproxy.supervisor.policy import Action as PolicyAction
from gripproxy.supervisor.policy import ChildExited, Log, Policy, Send, StopAsked, Tell, Ticked
from gripproxy.supervisor.record import Record
from gripproxy.supervisor.service import Service
from gripproxy.supervisor.succession import (
    LEFT,
    OFF,
    RELOAD,
    WELCOME,
    YOURS,
    Action,
    ChildrenListen,
    Event,
    FailureSaid,
    HelloSaid,
    KillSuccessor,
    MoveMain,
    Note,
    ProgressSaid,
    Retire,
    Stage,
    StartSuccessor,
    Succession,
    SuccessorGone,
    UpgradeAsked,
    WordSaid,
)
from gripproxy.supervisor.successor import Successor

LOOK_PERIOD_S = 0.02  # while our children open their hand-over sockets
LEFT_PERIOD_S = 0.5

log = logging.getLogger(__name__)


class Upgrade:
    """One attempt after the other, until one succeeds.

    Args:
        act: does what the policy's actions say.
        retire: has the policy end this version.
    """

    def __init__(
        self,
        settings: Settings,
        policy: Policy,
        estate: Estate,
        record: Record,
        service: Service,
        act: Callable[[list[PolicyAction]], None],
        retire: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._policy = policy
        self._estate = estate
        self._record = record
        self._service = service
        self._act = act
        self._retire = retire
        self._succession = Succession(policy)
        self._successor: Successor | None = None
        self._left_s = float("-inf")
        self._clients_count = 0
        self._is_reload_due = False
        self.heir_pid: int | None = None  # the supervisor that has taken over

    @property
    def fds(self) -> list[int]:
        """What children of ours must not keep."""
        return self._successor.fds if self._successor is not None else []

    @property
    def successor_pid(self) -> int | None:
        return None if self._successor is None else self._successor.pid

    @property
    def has_succeeded(self) -> bool:
        """Whether everything belongs to the new version now."""
        return self._succession.stage == Stage.DONE

    def wait_s(self) -> float:
        """Say how long nothing needs to be looked at unless a signal comes."""
        return LOOK_PERIOD_S if self._succession.stage == Stage.LISTENING else float("inf")

    def ask(self, elder_pid: int | None, now: float) -> None:
        """Begin one. `elder_pid`: see `UpgradeAsked`."""
        if self._succession.stage == Stage.NONE:
            self._record.begin()
        self._handle(UpgradeAsked(elder_pid), now)

    def tell_reload(self) -> None:
        """Have the new version read its configuration again, too: it may have read it before the change."""
        self._is_reload_due = self._succession.stage == Stage.STARTED  # it expects another word first
        if self._successor is not None and not self._is_reload_due:
            self._successor.conversation.say(RELOAD)

    def handle(self, event: ChildExited | StopAsked, now: float) -> None:
        """Take in what also concerns the policy."""
        self._handle(event, now)

    def look(self, now: float) -> None:
        """Hear the new supervisor, and see how far our children are."""
        if self._successor is None:
            return
        for said in self._successor.conversation.hear():
            self._take(said, now)
        if self._succession.stage == Stage.LISTENING and self._are_children_listening():
            self._handle(ChildrenListen(), now)
        self._handle(Ticked([]), now)

    def tell_left(self, clients_count: int, now: float) -> None:
        """Take in how many clients are still ours, and tell the new supervisor once all else is its own."""
        self._clients_count = clients_count
        if self._successor is not None and self.has_succeeded and now - self._left_s >= LEFT_PERIOD_S:
            self._left_s = now
            self._successor.conversation.say(LEFT, clients=clients_count)

    def take_exit(self, pid: int, how: str, now: float) -> bool:
        """Take the end of a process; tell whether it was the new supervisor."""
        if self._successor is None or pid != self._successor.pid:
            return False
        for said in self._successor.conversation.hear():  # its reason
            self._take(said, now)
        if self._succession.stage == Stage.STARTED and (words := self._successor.last_words()):
            how = f"{how}: {words}"
        self._drop()
        self._handle(SuccessorGone(how), now)
        return True

    def close(self, patience_s: float) -> None:
        """End the new version with this one, unless it has taken over. It may stop by itself, as it was told to."""
        if self._successor is not None:
            if not self.has_succeeded:
                self._successor.end(patience_s)
            self._drop()

    def _take(self, said: Said, now: float) -> None:
        for fd in said.fds:
            os.close(fd)
        if said.word == elder.HELLO:
            self._handle(HelloSaid(said.number("version"), said.text("program")), now)
        elif said.word == elder.PROGRESS:
            self._handle(ProgressSaid(said.text("text"), said.number("clients"), self._clients_count), now)
        elif said.word == elder.FAILED:
            self._handle(FailureSaid(said.text("reason")), now)
        else:
            self._handle(WordSaid(said.word), now)

    def _handle(self, event: Event, now: float) -> None:
        for action in self._succession.handle(event, now):
            self._do[type(action)](action)

    @functools.cached_property
    def _do(self) -> dict[type[Action], Callable[..., None]]:
        return {
            StartSuccessor: self._start,
            KillSuccessor: self._kill,
            Tell: self._tell,
            MoveMain: self._move_main,
            Retire: self._leave,
            Note: self._note,
            Send: self._send,
            Log: lambda action: self._act([action]),
        }

    def _start(self, _action: StartSuccessor) -> None:
        try:
            self._successor = Successor(self._estate.program)
        except OSError as error:
            self._handle(SuccessorGone(f"{self._estate.program[0]} cannot be started: {error.strerror}"), 0.0)

    def _kill(self, _action: KillSuccessor) -> None:
        if self._successor is not None:
            self._successor.kill()

    def _tell(self, action: Tell) -> None:
        if self._successor is None:
            return
        values: dict[str, object] = {}
        fds: Iterable[int] = ()
        if action.word == WELCOME:
            local_fds = self._estate.local_fds
            fds = [self._estate.lock.fd, *local_fds.values()]
            values = {
                "generation": self._settings.generation,
                "workers": self._settings.workers,
                "pid": os.getpid(),
                "lock_path": self._estate.lock.path,
                "local_paths": list(local_fds),
                "listeners": [str(address) for address in (*self._settings.http_port, *self._settings.https_ports)],
            }
        elif action.word == OFF:
            values = {"reason": self._succession.reason}
        elif action.word == YOURS:
            values = {"requests_count": self._record.state.requests_count, "steps": self._record.state.steps}
        self._successor.conversation.say(action.word, fds, **values)
        if action.word == WELCOME and self._is_reload_due:
            self.tell_reload()

    def _send(self, action: Send) -> None:
        """Signal our children. Whoever listened in an earlier attempt and died has left a socket file behind."""
        if self._succession.stage == Stage.LISTENING:
            for row in range(len(self._policy.children)):
                with contextlib.suppress(OSError):
                    os.unlink(self._socket_path(row))
        self._act([action])

    def _note(self, action: Note) -> None:
        if action.is_passing:
            self._record.note_progress(action.text)
        else:
            self._record.note(action.text, action.outcome)

    def _move_main(self, _action: MoveMain) -> None:
        assert self._successor is not None
        self._service.give_to(self._successor.pid)

    def _leave(self, _action: Retire) -> None:
        if self._successor is not None:
            self.heir_pid = self._successor.pid
        self._estate.disown()
        self._retire()

    def _are_children_listening(self) -> bool:
        rows = [row for row, child in enumerate(self._policy.children) if child.state == ChildState.READY]
        return all(os.path.exists(self._socket_path(row)) for row in rows)

    def _socket_path(self, row: int) -> str:
        return handover_path(self._settings, HUB if row == HUB_ROW else self._settings.seat_of(row - 1))

    def _drop(self) -> None:
        if self._successor is not None:
            self._successor.close()
            self._successor = None
