"""The new supervisor's part in an upgrade: hears the old one, and becomes the owner of what both share."""

import logging

from gripproxy.errors import ConfigError
from gripproxy.handover import Takeover, new_takeover
from gripproxy.settings import Settings
from gripproxy.supervisor.elder import PROGRESS, Elder, Legacy
from gripproxy.supervisor.estate import Estate
from gripproxy.supervisor.policy import Event, OldSideGone, OldSideOpen, ReloadAsked, StopAsked, UpgradeOff
from gripproxy.supervisor.record import Record
from gripproxy.supervisor.service import Service
from gripproxy.supervisor.succession import GO, LEFT, OFF, RELOAD, STOP, YOURS

PROGRESS_PERIOD_S = 0.5

log = logging.getLogger(__name__)


class Inheritance:
    """From the new supervisor's start until the old processes are gone."""

    def __init__(self, settings: Settings, elder: Elder, legacy: Legacy, estate: Estate) -> None:
        self.takeover: Takeover = new_takeover(settings, legacy.workers_count)
        self._elder = elder
        self._estate = estate
        self._is_ours = False
        self._is_unwanted = False  # the old version goes on, or both stop
        self._told_s = float("-inf")

    @property
    def fds(self) -> list[int]:
        """What children must not keep."""
        return [] if self.is_over else [self._elder.conversation.fileno()]

    @property
    def is_over(self) -> bool:
        """Whether the old supervisor is gone."""
        return self._elder.conversation.is_over

    @property
    def elder_pid(self) -> int | None:
        return None if self.is_over else self._elder.pid

    def begin(self) -> None:
        """Have SIGIO sent when the old supervisor says something; it must be blocked."""
        self._elder.conversation.signal_when_readable()

    def tell(self, word: str) -> None:
        self._elder.conversation.say(word)

    def fail(self, reason: str) -> None:
        """Say why this version ends."""
        self._elder.fail(reason)

    def tell_progress(self, clients_count: int, done_count: int, now: float) -> None:
        """Say how many clients have moved, and how many workers have all of theirs."""
        if now - self._told_s >= PROGRESS_PERIOD_S:
            self._told_s = now
            self._elder.conversation.say(PROGRESS, text=_progress(clients_count, done_count), clients=clients_count)

    def look(self, record: Record, service: Service) -> list[Event]:
        """Hear the old supervisor; give what the policy has to know."""
        events: list[Event] = []
        conversation = self._elder.conversation
        if conversation.is_over:
            return events
        for said in conversation.hear():
            if said.word == GO:
                events.append(OldSideOpen())
            elif said.word == OFF:
                self._is_unwanted = True
                events.append(UpgradeOff(said.text("reason")))
            elif said.word == STOP:
                self._is_unwanted = True
                events.append(StopAsked())
            elif said.word == RELOAD:
                events.append(ReloadAsked())
            elif said.word == YOURS:
                steps = [str(step) for step in said.values.get("steps", [])]
                record.state.requests_count = said.number("requests_count")
                self._own(record, service, steps)
            elif said.word == LEFT:
                record.note_elder(self._elder.pid, said.number("clients"))
        if conversation.is_over:
            conversation.close()
            if not self._is_ours and not self._is_unwanted:
                log.warning("the supervisor of the version before is gone; going on without it")
                self._own(record, service, ["the version before is gone; the new one goes on by itself"])
                events.append(OldSideGone())
            record.note_elder(None, 0)
        return events

    def _own(self, record: Record, service: Service, steps: list[str]) -> None:
        self._is_ours = True
        try:
            self._estate.own()
        except ConfigError as error:  # a full disk; clients have moved, and nobody else would serve them
            log.error("%s", error)
        service.is_main = True
        record.succeed(steps, self.elder_pid)


def _progress(clients_count: int, done_count: int) -> str:
    return f"{clients_count} clients have moved" + (f", {done_count} workers have theirs" if done_count else "")
