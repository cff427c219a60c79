"""What is read from the kernel about the machine."""

import socket

from benchmarks.machine import tcp_memory_bytes


def test_unread_bytes_are_in_the_memory_of_tcp() -> None:
    """What the kernel holds for clients that do not read is reported beside the server's own memory."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()):
        server = listener.accept()[0]
        with server:
            server.setblocking(False)
            assert tcp_memory_bytes() >= server.send(bytes(1 << 20)) > 0
