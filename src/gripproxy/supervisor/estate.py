"""What belongs to one version of the program at a time, and passes from one to the next."""

from dataclasses import dataclass, field
from typing import Protocol

from gripproxy.supervisor.run_directory import InstanceLock


class Heritable(Protocol):
    """Something with files that belong to one version at a time: `close` removes them only while they are ours."""

    def own(self) -> None:
        """Remove the files at the end: they are ours from now on."""

    def disown(self) -> None:
        """Leave them; the new version has them."""


@dataclass(slots=True, kw_only=True)
class Estate:
    """What one version leaves to the next."""

    program: list[str]  # that starts it: the command of this process
    lock: InstanceLock
    local_fds: dict[str, int] = field(default_factory=dict)  # unix sockets for clients, by path
    shared: Heritable | None = None

    def own(self) -> None:
        """Take it over from the version before.

        Raises:
            ConfigError: the lock file cannot be written; all the same everything is ours.
        """
        if self.shared is not None:
            self.shared.own()
        self.lock.own()

    def disown(self) -> None:
        self.lock.disown()
        if self.shared is not None:
            self.shared.disown()
