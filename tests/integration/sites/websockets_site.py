"""A WebSocket server by the `websockets` library that speaks GRIP: echoes, and joins clients to a channel.

PORT comes from the environment. `/hello` is a plain page; a path that ends in `/plain` is served without GRIP.
"""

import asyncio
import json
import os
import signal
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from tests.integration.sites.grip_extension import GripFactory


def answer_page(connection: ServerConnection, request: Request) -> Response | None:
    """Answer the plain page, and refuse a path that nobody may open; the rest are WebSockets."""
    path = urlsplit(request.path).path
    if path == "/hello":
        return connection.respond(200, "hello\n")
    if path == "/forbidden":
        return connection.respond(403, "not for you\n")
    return None


def select_subprotocol(connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Take the one that we know; without it nothing is lost."""
    del connection
    return next((name for name in offered if name == "chat.v1"), None)


async def echo(connection: ServerConnection) -> None:
    """Join the channel of the query, then send back what comes: `close CODE REASON` closes, `seen` tells of the end."""
    assert connection.request is not None
    is_grip = bool(connection.protocol.extensions)
    for channel in parse_qs(urlsplit(connection.request.path).query).get("channel", []):
        await connection.send("c:" + json.dumps({"type": "subscribe", "channel": channel}))
    async for message in connection:
        if isinstance(message, bytes):
            await connection.send(b"m:" + message if is_grip else message)
        elif message.startswith("close "):
            _, code, reason = message.split(" ", 2)
            await connection.close(int(code), reason)
        elif message.startswith("control "):
            await connection.send("c:" + message.removeprefix("control "))
        elif message == "ping":
            await (await connection.ping(b"from the origin"))
            await connection.send("m:ponged")
        else:
            await connection.send("m:" + message if is_grip else message)


async def main() -> None:
    """Serve until SIGTERM, which closes the connections with 1001."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with serve(
        echo,
        "127.0.0.1",
        int(os.environ["PORT"]),
        process_request=answer_page,
        extensions=[GripFactory()],
        select_subprotocol=select_subprotocol,
        compression=None,
        ping_interval=None,
        max_size=None,
    ):
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
