"""A client by the `websockets` library: it checks what the server sends as strictly as any."""

import socket
from contextlib import AbstractContextManager

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

RECEIVE_TIMEOUT_S = 60.0  # a site that was away is asked again with pauses of up to 16 s


def open_websocket(
    port: int, target: str, host: str = "localhost", headers: dict[str, str] | None = None, subprotocols: str = ""
) -> AbstractContextManager[ClientConnection]:
    """Connect to a port of this machine under any host name, for a `with`. The library pings nobody by itself."""
    return connect(
        f"ws://{host}{target}",
        sock=socket.create_connection(("127.0.0.1", port), timeout=RECEIVE_TIMEOUT_S),
        additional_headers=headers,
        subprotocols=[Subprotocol(name) for name in subprotocols.split()] or None,
        open_timeout=RECEIVE_TIMEOUT_S,
        close_timeout=RECEIVE_TIMEOUT_S,
        ping_interval=None,
        max_size=None,
        proxy=None,
    )


def next_message(client: ClientConnection) -> str | bytes:
    """Give the next message.

    Raises:
        TimeoutError: none has come.
        ConnectionClosed: the connection has ended before.
    """
    return client.recv(timeout=RECEIVE_TIMEOUT_S)


def messages_until(client: ClientConnection, last: str | bytes) -> list[str | bytes]:
    """Take messages until one is `last`, and give all of them."""
    taken = [next_message(client)]
    while taken[-1] != last:
        taken.append(next_message(client))
    return taken


def ask(client: ClientConnection, message: str | bytes) -> str | bytes:
    """Send a message and give the next one."""
    client.send(message)
    return next_message(client)


def ending(client: ClientConnection) -> tuple[int, str]:
    """Wait for the end and give the close frame's code and reason: 1005 if it has none, 1006 if there is no frame."""
    try:
        while True:
            next_message(client)
    except ConnectionClosed as closed:
        return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")
