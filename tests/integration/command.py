"""Asks on the command socket, as Pushpin's tools do."""

import tnetstring
import zmq

from gripproxy.protocol.tnetstring import encode
from tests.integration.server import Server

ZmqContext = zmq.Context[zmq.Socket[bytes]]


def command(server: Server, context: ZmqContext, method: str, **args: object) -> dict[bytes, object]:
    """Ask on the command socket."""
    with context.socket(zmq.REQ) as request:
        request.setsockopt(zmq.LINGER, 0)
        request.connect(f"tcp://127.0.0.1:{server.command_port}")
        request.send(encode({"method": method, "args": args}))
        assert request.poll(10_000), f"no reply to {method}"
        reply: dict[bytes, object] = tnetstring.loads(request.recv())
        return reply
