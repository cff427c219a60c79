"""What all workers must have of the listeners in common, made before they are forked: it outlives each of them."""

import contextlib
import mmap
import os
import socket
import ssl

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

    Raises:
        ConfigError: a unix socket cannot be opened, or somebody listens on a port already.
    """

    def __init__(self, settings: Settings) -> None:
        for address in settings.http_port:
            check_free(address)
        for address in settings.https_ports:
            check_free(address, "https_ports")
        self.counts = ListenerCounts(settings.workers, len(settings.listeners))
        self.certificates = CertificateStore(settings.certificates_directory() or "")
        self.contexts: list[ssl.SSLContext] = [new_context() for _ in settings.https_ports]
        self.local: list[socket.socket] = []
        self._paths = [address.path for address in settings.local_ports]
        try:
            for local_address in settings.local_ports:
                self.local.append(open_local(local_address))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the unix sockets and remove their files."""
        for listener, path in zip(self.local, self._paths, strict=False):
            listener.close()
            with contextlib.suppress(OSError):
                os.unlink(path)
        self.local.clear()
