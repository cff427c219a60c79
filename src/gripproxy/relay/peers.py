"""Who is connected to one side of a relay, by what ZeroMQ's monitor says of its sockets."""

import array
import fcntl
import os
import socket
import termios

import zmq

_CAME = zmq.EVENT_ACCEPTED | zmq.EVENT_CONNECTED
FAILED = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
EVENTS = _CAME | zmq.EVENT_DISCONNECTED | FAILED


class Peers:
    """The connections by descriptor. These are ZeroMQ's: they are looked at, never read, written or closed."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self.leaving: set[int] = set()  # who was shown the end and has not left yet

    def __len__(self) -> int:
        return len(self._names)

    def take(self, event: int, fd: int) -> str | None:
        """Note an event with its value; give the name of who came or left."""
        if event & _CAME:
            self._names[fd] = name = _peer_name(fd)
            return name
        if event == zmq.EVENT_DISCONNECTED:
            self.leaving.discard(fd)
            return self._names.pop(fd, None)
        return None

    def slow(self) -> list[str]:
        """Name those for whom something waits in the kernel: if a queue is full, it is theirs."""
        return [name for fd, name in self._names.items() if _unsent_bytes(fd)]

    def end_sending(self) -> None:
        """Let the others see the end of their connections, while what they have sent can still be read."""
        self.leaving = set(self._names)
        for fd in self._names:
            try:
                with socket.socket(fileno=os.dup(fd)) as copy:
                    copy.shutdown(socket.SHUT_WR)
            except OSError:
                continue  # it has left already


def _peer_name(fd: int) -> str:
    try:
        with socket.socket(fileno=os.dup(fd)) as copy:
            address = copy.getpeername()
    except OSError:
        return "that has left again"
    return f"{address[0]}:{address[1]}" if isinstance(address, tuple) else "of this machine"


def _unsent_bytes(fd: int) -> int:
    count = array.array("i", [0])
    try:
        fcntl.ioctl(fd, termios.TIOCOUTQ, count)
    except OSError:
        return 0
    return count[0]
