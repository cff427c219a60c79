"""The sockets that clients connect to: TCP ports, one for each worker, and unix sockets, one for all of them."""

import contextlib
import os
import socket
import stat

from gripproxy.errors import ConfigError
from gripproxy.settings import ListenAddress, LocalAddress

BACKLOG_COUNT = 4096  # the kernel cuts it to net.core.somaxconn
# What the kernel queues for a client that does not read, beyond what is under way to it. Without it a client on this
# host, such as a TLS server in front, makes it 4 MB each; what is more waits in the bounded backlog.
UNSENT_MAX_BYTES = 131_072


def check_free(address: ListenAddress, key: str = "http_port") -> None:
    """Make sure that nobody listens there: `bind` would share the port, and the clients, with another gripproxy.

    Raises:
        ConfigError: as `bind`.
    """
    _open(address, key, is_shared=False).close()


def bind(address: ListenAddress, key: str = "http_port") -> socket.socket:
    """Open a listener that every worker opens too; the kernel spreads the clients over them.

    Raises:
        ConfigError: the address cannot be listened on; says why, and where to choose another.
    """
    listener = _open(address, key, is_shared=True)
    listener.setblocking(False)
    return listener


def _open(address: ListenAddress, key: str, is_shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, is_shared)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # accepted sockets inherit these
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_MAX_BYTES)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address.host, address.port))
        if is_shared:
            listener.listen(BACKLOG_COUNT)
    except OSError as error:
        listener.close()
        reason = f"{error.strerror or error}; choose another with --port or {key}="
        raise ConfigError(f"{key}: cannot listen on {address}: {reason}") from None
    return listener


def open_local(address: LocalAddress) -> socket.socket:
    """Open a unix socket for all workers. A file that an earlier run has left behind is removed first.

    Nobody can connect before it has its mode and its owner.

    Raises:
        ConfigError: somebody listens there, or is no socket there, or it cannot be made or given to its owner.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_left_behind(address.path)
        listener.bind(address.path)
        if address.user_id is not None or address.group_id is not None:
            user_id = -1 if address.user_id is None else address.user_id
            os.chown(address.path, user_id, -1 if address.group_id is None else address.group_id)
        if address.mode is not None:
            os.chmod(address.path, address.mode)
        listener.listen(BACKLOG_COUNT)
    except OSError as error:
        listener.close()
        raise ConfigError(f"local_ports: cannot listen on {address.path}: {error.strerror or error}") from None
    listener.setblocking(False)
    return listener


def _remove_left_behind(path: str) -> None:
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigError(f"local_ports: cannot listen on {path}: there is a file that is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            pass
        else:
            raise ConfigError(f"local_ports: cannot listen on {path}: another server does")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
