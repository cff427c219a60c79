"""The built-in responder behind the target ``test``: enough of an origin to try holds and publishing without one."""

import json
from dataclasses import replace
from urllib.parse import unquote_to_bytes

from gripproxy.protocol.websocket_frame import BINARY, PING, PONG, TEXT, Frame

BODY_MAX_BYTES = 100_000  # same as Pushpin
DEFAULT_CHANNEL = b"test"

Answer = tuple[int, bytes, list[tuple[bytes, bytes]], bytes]  # status, reason, headers, body


def answer(target: bytes, path_beg: bytes = b"", body_bytes: int = 0) -> Answer:
    """Answer an HTTP request of any method as an origin would; the holds go through the usual instruct decoding.

    Args:
        target: path and query as the origin would get them, that is after the route's rewriting.
        path_beg: of the route; taken off the path except for its final ``/``.
        body_bytes: the request body's length.

    Source: Pushpin's test handler. Unlike there, a channel that holds a control character is refused (400), as it
    would end the header, and an empty one is left out.
    """
    if body_bytes > BODY_MAX_BYTES:
        return _plain(400, b"Bad Request", b"request too large\n")
    raw_path, _, query = target.partition(b"?")
    path = _resource(unquote_to_bytes(raw_path), unquote_to_bytes(path_beg))
    if path == b"/":
        return _plain(200, b"OK", b"Hello from the Pushpin test handler!\n")
    if path not in (b"/response", b"/stream"):
        return _no_such_resource()
    channels = _channels(query)
    if any(byte < 0x20 or byte == 0x7F for channel in channels for byte in channel):
        return _plain(400, b"Bad Request", b"channel has a control character\n")
    is_stream = path == b"/stream"
    body = b"[stream opened]\n" if is_stream else b"nothing for now\n"
    status, reason, headers, body = _plain(200, b"OK", body)
    headers.append((b"Grip-Hold", b"stream" if is_stream else b"response"))
    headers.append((b"Grip-Channel", b", ".join(channels)))
    return status, reason, headers, body


def answer_handshake(target: bytes, path_beg: bytes, is_grip: bool) -> tuple[Answer, list[Frame]]:
    """Answer a WebSocket handshake as an origin would; also give the frames that such an origin sends first.

    Args:
        target, path_beg: as in `answer`.
        is_grip: GRIP is offered; without it nothing is subscribed.

    Source: Pushpin's test handler.
    """
    raw_path, _, query = target.partition(b"?")
    if _resource(unquote_to_bytes(raw_path), unquote_to_bytes(path_beg)) != b"/ws":
        return _no_such_resource(), []
    if not is_grip:
        return (101, b"Switching Protocols", [], b""), []
    subscribing = [{"type": "subscribe", "channel": name.decode("utf-8", "replace")} for name in _channels(query)]
    frames = [Frame(TEXT, b"c:" + json.dumps(message).encode()) for message in subscribing]
    return (101, b"Switching Protocols", [(b"Sec-WebSocket-Extensions", b"grip")], b""), frames


def answer_frames(frames: list[Frame], is_grip: bool) -> list[Frame]:
    """Give what such an origin sends back, once it has agreed to GRIP or not: data and the close as they came.

    Unlike Pushpin's, which sends pings back as pings and pongs as pongs, it answers pings.
    """
    prefix = b"m:" if is_grip else b""
    answers = []
    for frame in frames:
        if frame.opcode in (TEXT, BINARY):
            answers.append(replace(frame, payload=prefix + frame.payload))
        elif frame.opcode == PING:
            answers.append(replace(frame, opcode=PONG))
        elif frame.opcode != PONG:
            answers.append(frame)
    return answers


def _no_such_resource() -> Answer:
    return _plain(404, b"Not Found", b"no such test resource\n")


def _plain(status: int, reason: bytes, body: bytes) -> Answer:
    return status, reason, [(b"Content-Type", b"text/plain")], body


def _resource(path: bytes, path_beg: bytes) -> bytes:
    prefix = path_beg.removesuffix(b"/")
    if path.startswith(path_beg):
        path = path[len(prefix) :]
    return path.removesuffix(b"/") or b"/"


def _channels(query: bytes) -> list[bytes]:
    pairs = [pair.partition(b"=") for pair in query.split(b"&")]
    names = [unquote_to_bytes(value) for name, _, value in pairs if unquote_to_bytes(name) == b"channel"]
    return [name for name in names if name] or [DEFAULT_CHANNEL]
