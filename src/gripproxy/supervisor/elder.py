"""The old version's supervisor, seen from the new one."""

import contextlib
import os
import socket
from dataclasses import dataclass, field
from typing import Self

from gripproxy import __version__
from gripproxy.errors import ConfigError
from gripproxy.handover import HANDOVER_VERSION
from gripproxy.supervisor.conversation import Conversation
from gripproxy.supervisor.succession import OFF, WELCOME
from gripproxy.supervisor.successor import TAKEOVER_VARIABLE

WELCOME_MAX_S = 30.0  # it answers at once, unless it hangs

HELLO = "hello"
FAILED = "failed"
PROGRESS = "progress"


@dataclass(slots=True)
class Legacy:
    """What the old version leaves to this one."""

    generation: int
    workers_count: int
    pid: int
    lock_path: str
    lock_fd: int
    local_fds: dict[str, int] = field(default_factory=dict)  # unix sockets for clients, by path
    listeners: frozenset[str] = frozenset()  # the addresses of its TCP listeners


class Elder:
    """Speaks to the old supervisor, which has started this program."""

    def __init__(self, conversation: Conversation, stderr_fd: int) -> None:
        self.conversation = conversation
        self._stderr_fd = stderr_fd
        self.pid = os.getppid()

    @classmethod
    def from_environment(cls) -> Self | None:
        """Find it, if there is one. What is started by this process is not told of it."""
        text = os.environ.pop(TAKEOVER_VARIABLE, None)
        if text is None:
            return None
        fds = [int(part) for part in text.split(":")]
        for fd in fds:
            os.set_inheritable(fd, False)
        return cls(Conversation(socket.socket(fileno=fds[0])), fds[1])

    def use_stderr(self) -> None:
        """Write to the real standard error from now on: this program can say itself what is wrong."""
        os.dup2(self._stderr_fd, 2)
        os.close(self._stderr_fd)

    def introduce(self, lock_path: str) -> Legacy:
        """Say that this program could start, and take what it needs to do so.

        Args:
            lock_path: of the instance that this program's configuration describes.

        Raises:
            ConfigError: the old version does not want it, is gone, or is another instance.
        """
        self.conversation.say(HELLO, version=HANDOVER_VERSION, program=__version__, pid=os.getpid())
        answer = self.conversation.wait(WELCOME_MAX_S)
        if answer is None:
            raise ConfigError("the version before does not answer")
        if answer.word != WELCOME or not answer.fds:
            why = answer.text("reason") if answer.word == OFF else f"it says {answer.word!r}"
            raise ConfigError(f"the version before refuses: {why}")
        paths = answer.values.get("local_paths", [])
        legacy = Legacy(
            generation=answer.number("generation"),
            workers_count=answer.number("workers"),
            pid=answer.number("pid"),
            lock_path=answer.text("lock_path"),
            lock_fd=answer.fds[0],
            local_fds=dict(zip(paths, answer.fds[1:], strict=True)),
            listeners=frozenset(map(str, answer.values.get("listeners", []))),
        )
        self.pid = legacy.pid
        if os.path.realpath(lock_path) != os.path.realpath(legacy.lock_path):
            places = f"{lock_path} instead of {legacy.lock_path}"
            raise ConfigError(f"the configuration is of another instance now: {places}; restart instead")
        return legacy

    def fail(self, reason: str) -> None:
        """Say why this program cannot go on."""
        with contextlib.suppress(OSError):
            self.conversation.say(FAILED, reason=reason)
