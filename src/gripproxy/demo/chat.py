"""The demo's chat: WebSockets for an origin that knows HTTP only.

The proxy keeps the WebSocket and sends what comes on it in requests, as *events*; answers hold events for the client.
So nothing here remembers a client: whom a message reaches is decided by the channel.
"""

import json
from collections.abc import Callable

from gripproxy.protocol.websocket_events import OPEN_BODY, decode_events, encode_events
from gripproxy.protocol.websocket_frame import CLOSE, PONG, TEXT, Frame

GREETING = "socket open"
BODY_MAX_BYTES = 250_000  # the proxy puts at most 200,000 bytes of messages into a request

# In answers, `c:` begins an instruction to the proxy and `m:` a message to the client.
CONTROL, MESSAGE = b"c:", b"m:"


def chat_events(channel: str, body: bytes, say: Callable[[str], None]) -> bytes:
    """Answer a request's events.

    Args:
        channel: what the client joins when its WebSocket opens.
        body: the request's body.
        say: hands a message to everybody in the channel, the client itself included; raises OSError when it cannot.

    Raises:
        OriginError: the body does not consist of events.
    """
    answer = b""
    frames = []
    for event in decode_events(body):
        if event.kind == b"OPEN":
            subscribe = json.dumps({"type": "subscribe", "channel": channel}).encode()
            answer = OPEN_BODY
            frames += [Frame(TEXT, CONTROL + subscribe), Frame(TEXT, MESSAGE + GREETING.encode())]
        elif event.kind == b"TEXT":
            try:
                say(event.content.decode(errors="replace"))
            except OSError as error:
                frames.append(Frame(TEXT, MESSAGE + f"nobody was told: {error}".encode()))
        elif event.kind == b"PING":
            frames.append(Frame(PONG, event.content))
        elif event.kind == b"CLOSE":
            frames.append(Frame(CLOSE, event.content))
    return answer + encode_events(frames)
