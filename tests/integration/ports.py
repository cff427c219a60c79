"""Free TCP ports on loopback for processes that must be told their port."""

import random
import socket

FIRST_PORT, LAST_PORT = 20_000, 32_000  # below Linux's range for outgoing connections, which would race for them

_given: set[int] = set()


def free_ports(count: int) -> list[int]:
    """Find `count` ports nobody listens on, never the same one twice in a test run."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(FIRST_PORT, LAST_PORT)
        if port in _given or not _is_free(port):
            continue
        _given.add(port)
        found.append(port)
    return found


def free_instance() -> int:
    """Find a number for ``--id`` whose publish ports nobody listens on, all below `FIRST_PORT`."""
    while True:
        instance = random.randrange(200, 1400)
        ports = [port + 10 * instance for port in (5560, 5561, 5562, 5563)]
        if not _given.intersection(ports) and all(_is_free(port) for port in ports):
            _given.update(ports)
            return instance


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True


def can_connect(port: int, host: str = "127.0.0.1") -> bool:
    """Say whether somebody accepts connections there."""
    try:
        socket.create_connection((host, port), timeout=2.0).close()
    except OSError:
        return False
    return True
