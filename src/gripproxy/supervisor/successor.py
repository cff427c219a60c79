"""The new version's supervisor, seen from the old one: its program is started, heard and ended."""

import contextlib
import os
import signal
import socket
import sys
import time

from gripproxy.supervisor.conversation import Conversation

# To the new program: the descriptors of the conversation and of the real standard error, "FD:FD".
TAKEOVER_VARIABLE = "GRIPPROXY_TAKEOVER"
_NOT_PASSED_ON = ("WATCHDOG_PID",)  # of the service manager's variables, the one that is about this process alone
END_POLL_S = 0.02
WORDS_MAX_BYTES = 16_384  # of what it writes to standard error before it introduces itself


def this_program() -> list[str]:
    """Give the command that started this process, its program by a path that does not depend on PATH."""
    program, *arguments = sys.orig_argv
    return [program if os.path.isabs(program) else sys.executable, *arguments]


class Successor:
    """A process that runs the program which is on disk now. It is exec'ed: it shares no memory with this one.

    Until the program introduces itself, its standard error leads here: so whoever asked for the upgrade hears why it
    does not start.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, program: list[str]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._words_fd, words_write = os.pipe()
        stderr_fd = os.dup(2)
        self.conversation = Conversation(ours)
        environment = {name: value for name, value in os.environ.items() if name not in _NOT_PASSED_ON}
        environment[TAKEOVER_VARIABLE] = f"{theirs.fileno()}:{stderr_fd}"
        try:
            theirs.set_inheritable(True)
            os.set_inheritable(stderr_fd, True)
            self.pid = os.posix_spawn(
                program[0],
                program,
                environment,
                file_actions=[(os.POSIX_SPAWN_DUP2, words_write, 2)],
                setsigmask=[],
            )
        except BaseException:
            os.close(self._words_fd)
            ours.close()
            raise
        finally:
            theirs.close()
            os.close(stderr_fd)
            os.close(words_write)
        os.set_blocking(self._words_fd, False)
        self.conversation.signal_when_readable()

    @property
    def fds(self) -> list[int]:
        """What a child of ours must not keep."""
        return [self.conversation.fileno(), self._words_fd]

    def last_words(self) -> str:
        """Give the last line that it wrote before it introduced itself: of a traceback, the error."""
        words = b""
        with contextlib.suppress(BlockingIOError):  # somebody else has its standard error, too
            while data := os.read(self._words_fd, WORDS_MAX_BYTES):
                words = (words + data)[-WORDS_MAX_BYTES:]
        lines = words.decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def kill(self) -> None:
        """End it; its children notice and end, too."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def end(self, patience_s: float) -> None:
        """Wait for its end, then kill it."""
        give_up_s = time.monotonic() + patience_s
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(self.pid, os.WNOHANG)[0] == 0:
                if time.monotonic() > give_up_s:
                    self.kill()
                time.sleep(END_POLL_S)

    def close(self) -> None:
        """Forget it."""
        self.conversation.close()
        os.close(self._words_fd)
