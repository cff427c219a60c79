"""The run directory, and the lock file in it that keeps a second instance from taking the first one's sockets."""

import contextlib
import fcntl
import os
import stat
import time

from gripproxy.errors import ConfigError
from gripproxy.settings import SOCKET_NAME_MAX_BYTES, SOCKET_PATH_MAX_BYTES, Settings

ORPHANS_WAIT_S = 5.0  # children of a killed supervisor notice at once; they hold its lock until they are gone
ORPHANS_POLL_S = 0.05


def prepare_run_directory(settings: Settings) -> None:
    """Create the run directory if it is missing. Socket files left in it are replaced by whoever binds them.

    Raises:
        ConfigError: it cannot be created or written to, somebody else may put files in it, or its path is too long
            for a unix socket.
    """
    path = settings.rundir
    other = "choose another with --rundir DIR or rundir= in [global]"
    try:
        os.makedirs(path, mode=0o755, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot create the run directory {path}: {error.strerror}; {other}") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigError(f"this user may not write to the run directory {path}; {other}")
    status = os.stat(path)
    if status.st_uid not in (0, os.geteuid()) and status.st_mode & stat.S_IWOTH:
        raise ConfigError(f"the run directory {path} belongs to another user and everybody may write to it; {other}")
    excess = len(os.fsencode(settings.ipc_path(""))) + SOCKET_NAME_MAX_BYTES - SOCKET_PATH_MAX_BYTES
    if excess > 0:
        raise ConfigError(f"the run directory {path} is {excess} bytes too long for a unix socket; {other}")


class InstanceLock:
    """Holds ``{rundir}/{ipc_prefix}gripproxy.pid`` from `acquire` to `close`; its content is the pid.

    Children inherit the lock, so that it is free only when the last process of an instance is gone.
    """

    def __init__(self, settings: Settings, fd: int | None = None) -> None:
        """`fd`: the lock is held by the version before, which shares it; `own` takes it over."""
        self._path = settings.ipc_path("gripproxy.pid")
        self._fd = fd
        self._is_own = False

    @property
    def path(self) -> str:
        return self._path

    @property
    def fd(self) -> int:
        """The lock itself: whoever has it open holds it."""
        assert self._fd is not None
        return self._fd

    def acquire(self, wait_s: float = ORPHANS_WAIT_S) -> None:
        """Take the lock; wait for the children of a supervisor that was killed, never for a live instance.

        Raises:
            ConfigError: another instance holds it, or the file cannot be written.
        """
        give_up_s = time.monotonic() + wait_s
        while not self._try():
            pid = self._holder_pid()
            if pid is not None and is_alive(pid):
                raise ConfigError(
                    f"gripproxy already runs here as process {pid} ({self._path}); "
                    "run another one with --id N and --port PORT, or in another directory with --rundir DIR"
                )
            if time.monotonic() > give_up_s:
                raise ConfigError(f"processes of a gripproxy that was killed still run and hold {self._path}; end them")
            time.sleep(ORPHANS_POLL_S)

    def find_owner(self) -> int | None:
        """Give the process that the file names, if it runs."""
        pid = self._holder_pid()
        return pid if pid is not None and is_alive(pid) else None

    def own(self) -> None:
        """Be the process that the file names, in the place of the version before.

        Raises:
            ConfigError: the file cannot be written.
        """
        self._is_own = True
        try:
            os.ftruncate(self.fd, 0)
            os.pwrite(self.fd, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            raise ConfigError(f"cannot write the lock file {self._path}: {error.strerror}") from error

    def disown(self) -> None:
        """Leave the file to the new version."""
        self._is_own = False

    def close(self) -> None:
        """Let the lock go, and remove the file if it is ours."""
        if self._fd is not None:
            if self._is_own:
                with contextlib.suppress(OSError):
                    os.unlink(self._path)
            os.close(self._fd)
            self._fd = None

    def _try(self) -> bool:
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ConfigError(f"cannot open the lock file {self._path}: {error.strerror}") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_same = os.stat(self._path).st_ino == os.fstat(fd).st_ino
        except (BlockingIOError, FileNotFoundError):
            is_same = False
        if not is_same:  # held by another, or removed by its last holder between our open and our lock
            os.close(fd)
            return False
        self._fd = fd
        self.own()
        return True

    def _holder_pid(self) -> int | None:
        try:
            with open(self._path, encoding="ascii") as file:
                return int(file.read())
        except (OSError, ValueError):
            return None


def is_alive(pid: int) -> bool:
    """Tell whether the process runs; one that only waits for its parent to reap it does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
