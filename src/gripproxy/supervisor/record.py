"""Keeps the file by which `gripproxy upgrade` sees how far an upgrade is."""

import os

from gripproxy import __version__
from gripproxy.handover import HANDOVER_VERSION
from gripproxy.settings import Settings
from gripproxy.upgrade_state import UpgradeState, remove_state, state_path, write_state


class Record:
    """Writes with every change, while this version is the one that serves."""

    def __init__(self, settings: Settings) -> None:
        self._path = state_path(settings)
        self._is_own = False
        self.state = UpgradeState(pid=os.getpid(), version=__version__, handover_version=HANDOVER_VERSION)

    def own(self) -> None:
        """Speak for the instance from now on."""
        self._is_own = True
        self._write()

    def begin(self) -> None:
        """Begin the record of an upgrade that was asked for."""
        self.state.requests_count += 1
        self.state.steps = []
        self.state.progress = ""
        self.state.outcome = None
        self._write()

    def note(self, text: str, outcome: bool | None) -> None:
        """Write down a step. The last one of an upgrade that succeeds is written by the new version."""
        self.state.steps.append(text)
        self.state.outcome = outcome
        if outcome:
            self._is_own = False
        self._write()

    def note_progress(self, text: str) -> None:
        """Write down how far the step is."""
        if text != self.state.progress:
            self.state.progress = text
            self._write()

    def succeed(self, steps: list[str], elder_pid: int | None) -> None:
        """Go on with the record of the version before, which this one has replaced."""
        self.state.steps = steps
        self.state.outcome = True
        self.state.elder_pid = elder_pid
        self.own()

    def note_elder(self, pid: int | None, clients_count: int) -> None:
        """Write down what is left of the version before."""
        if (self.state.elder_pid, self.state.elder_clients) != (pid, clients_count):
            self.state.elder_pid, self.state.elder_clients = pid, clients_count
            self._write()

    def close(self) -> None:
        """Remove the file, if it is ours."""
        if self._is_own:
            remove_state(self._path)

    def _write(self) -> None:
        if self._is_own:
            write_state(self._path, self.state)
