"""What all workers must have of the listeners in common, made before they are forked: it outlives each of them."""

import contextlib
import mmap
import os
import socket
import ssl
from collections.abc import Collection, Iterable, Mapping

from gripproxy.settings import Settings
from gripproxy_worker.certificates import CertificateStore, new_context
from gripproxy_worker.listener import check_free, open_local


class ListenerCounts:
    """How many clients each listener has in each worker, in memory that all of them see."""

    def __init__(self, workers_count: int, listeners_count: int) -> None:
        self._listeners_count = listeners_count
        self._cells = memoryview(mmap.mmap(-1, workers_count * listeners_count * 8)).cast("Q")

    def row(self, worker: int) -> memoryview:
        """Give a worker's own cells, one for each listener. It must begin with zeros: it may replace another."""
        start = worker * self._listeners_count
        return self._cells[start : start + self._listeners_count]

    def total(self, listener: int) -> int:
        """Add up one listener's clients over the workers."""
        return sum(self._cells[listener :: self._listeners_count])


class SharedListeners:
    """Unix sockets, which one process must bind; the certificates; the TLS listeners' contexts, so that a client that
    comes back finishes its handshake without a signature, whichever worker gets it; and the counts of clients.

    In an upgrade those of the version before go on. Its files stay its own until `own` says otherwise.

    Args:
        taken: addresses on which the version before listens.
        local_fds: its unix sockets, by path.

    Raises:
        ConfigError: a unix socket cannot be opened, or somebody listens on a port already.
    """

    def __init__(
        self, settings: Settings, taken: Collection[str] = (), local_fds: Mapping[str, int] | None = None
    ) -> None:
        for address in settings.http_port:
            if str(address) not in taken:
                check_free(address)
        for address in settings.https_ports:
            if str(address) not in taken:
                check_free(address, "https_ports")
        self.counts = ListenerCounts(settings.workers, len(settings.listeners))
        self.certificates = CertificateStore(settings.certificates_directory() or "")
        self.contexts: list[ssl.SSLContext] = [new_context() for _ in settings.https_ports]
        self.local: list[socket.socket] = []
        self._paths = [address.path for address in settings.local_ports]
        self._own_paths: set[str] = set()  # of files that `close` removes
        inherited = {path: socket.socket(fileno=fd) for path, fd in (local_fds or {}).items()}
        try:
            for local_address in settings.local_ports:
                listener = inherited.pop(local_address.path, None)
                if listener is None:
                    listener = open_local(local_address)
                    self._own_paths.add(local_address.path)
                self.local.append(listener)
        except BaseException:
            self.close()
            raise
        finally:
            self._surplus_paths = list(inherited)
            for listener in inherited.values():
                listener.close()

    def local_fds(self) -> dict[str, int]:
        """Give the unix sockets, by path."""
        return {path: listener.fileno() for path, listener in zip(self._paths, self.local, strict=True)}

    def own(self) -> None:
        """Take over the files of the version before, and remove those of sockets that are not wanted any more."""
        self._own_paths.update(self._paths)
        _unlink_all(self._surplus_paths)

    def disown(self) -> None:
        """Leave the files to the version that has taken over."""
        self._own_paths.clear()

    def close(self) -> None:
        """Close the unix sockets and remove their files, if they are ours."""
        for listener in self.local:
            listener.close()
        self.local.clear()
        _unlink_all(self._own_paths)
        self._own_paths.clear()


def _unlink_all(paths: Iterable[str]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            os.unlink(path)
