"""A child process of the measuring process, that ends when its pipe does, so none outlives the run."""

import gc
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import setproctitle

JOIN_S = 20.0  # resetting 20,000 connections takes a second, times fifty processes on two cores
_parent_ends: list[Connection] = []  # of all children so far: a later child must not keep them open


class Forked:
    """Runs ``main(pipe)`` in a process of its own, which sees the end of the pipe when we are gone."""

    def __init__(self, name: str, main: Callable[[Connection], None]) -> None:
        self.name = name
        self.pipe, theirs = Pipe()
        _parent_ends.append(self.pipe)
        gc.collect()
        gc.freeze()  # a collection in the child would copy every page it looks at
        sys.stderr.flush()
        self.pid = os.fork()
        if not self.pid:
            _run(name, main, theirs)
        theirs.close()
        self._pid_fd = os.pidfd_open(self.pid)  # readable once the process has ended

    @property
    def has_ended(self) -> bool:
        return bool(select.select([self._pid_fd], [], [], 0)[0])

    def close(self) -> None:
        """Close the pipe and wait for the process; it is killed when it does not end."""
        if not self.pid:
            return
        _parent_ends.remove(self.pipe)
        self.pipe.close()
        if not select.select([self._pid_fd], [], [], JOIN_S)[0]:
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._pid_fd)
        self.pid = 0


def close_all(children: list[Forked]) -> None:
    """Close all pipes first, so that the processes end side by side."""
    for child in children:
        child.pipe.close()
    for child in children:
        child.close()


def _run(name: str, main: Callable[[Connection], None], pipe: Connection) -> None:
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal group; the parent decides
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        gc.disable()
        for end in _parent_ends:
            end.close()
        setproctitle.setproctitle(f"c1m: {name}")
        main(pipe)
        code = 0
    except (EOFError, BrokenPipeError, ConnectionResetError):
        code = 0  # the parent has gone
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)
