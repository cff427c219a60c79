"""How the scenarios of WebSockets spell what clients, origins and publishers send."""

import json
from collections.abc import Sequence

from tests.conformance.frames import (
    BINARY,
    CLIENT_KEY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    closing,
    frame,
)
from tests.conformance.scenario import (
    Difference,
    Differences,
    OriginReceive,
    OriginSend,
    Publish,
    Receive,
    Scenario,
    Send,
    Step,
    get,
    item,
)
from tests.integration.origin import ACCEPT, LISTEN, Answer, answer

WS_HOST, WOH_HOST = "plain.ws.test", "plain.woh.test"
EVENTS = "Content-Type: application/websocket-events"
GRIP = "Sec-WebSocket-Extensions: grip"
EVENT_NAMES = {TEXT: "TEXT", BINARY: "BINARY", CLOSE: "CLOSE", PING: "PING", PONG: "PONG"}
Message = tuple[int, bytes]  # opcode and payload
CLOSED = (CLOSE, b"")


def upgrade(target: str, *headers: str, host: str = WS_HOST) -> bytes:
    """Spell a client's handshake."""
    own = ("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {CLIENT_KEY}", "Sec-WebSocket-Version: 13")
    return get(target, *own, *headers, host=host)


def accept(*headers: str, frames: bytes = b"") -> Answer:
    """Spell an origin's 101, what it sends right behind it, and that it listens then."""
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    head = "\r\n".join([*lines, f"Sec-WebSocket-Accept: {ACCEPT.decode()}", *headers, "", ""]).encode("latin-1")
    return [head + frames, LISTEN]


def event(opcode: int, payload: bytes = b"") -> bytes:
    """Spell a message as an event."""
    name = EVENT_NAMES[opcode].encode()
    return name + b" %x\r\n%s\r\n" % (len(payload), payload) if payload or opcode < CLOSE else name + b"\r\n"


def events(*messages: Message) -> bytes:
    return b"".join(event(*message) for message in messages)


def answered(*messages: Message, headers: Sequence[str] = (), status: str = "200 OK") -> bytes:
    """Spell an origin's answer to events."""
    return answer(status, EVENTS, *headers, body=events(*messages))


def opened(*messages: Message, headers: Sequence[str] = (GRIP,)) -> bytes:
    """Spell an origin's answer that accepts a session."""
    return answer("200 OK", EVENTS, *headers, body=b"OPEN\r\n" + events(*messages))


def control(type_: str, **keys: object) -> Message:
    """Spell a control message; keys with a dash are written with an underscore."""
    whole = {"type": type_} | {key.replace("_", "-"): value for key, value in keys.items()}
    return TEXT, b"c:" + json.dumps(whole).encode()


def subscribe(channel: str, **keys: object) -> Message:
    return control("subscribe", channel=channel, **keys)


def say(opcode: int, payload: bytes = b"", client: str = "a", **bits: int) -> Send:
    """The client sends a frame."""
    return Send(frame(opcode, payload, is_masked=True, **bits), client=client)  # type: ignore[arg-type]  # of frame


def hang_up(code: int | None = 1000, reason: bytes = b"", client: str = "a") -> Send:
    """The client sends a close frame."""
    return say(CLOSE, closing(code, reason), client)


def origin_says(*messages: Message, target: str | None = None) -> OriginSend:
    """The origin sends frames."""
    return OriginSend(b"".join(frame(*message) for message in messages), target)


def published(channel: str, **keys: object) -> Publish:
    """Publish one item for WebSockets."""
    return Publish([item(channel, "ws-message", **keys)])


def socket(
    name: str,
    why: str,
    *steps: Step,
    headers: Sequence[str] = (GRIP,),
    first: Sequence[Message] = (),
    host: str = WS_HOST,
    asks: Sequence[str] = (),
    difference: Differences = None,
    **more: object,
) -> Scenario:
    """Make the scenario of a client whose handshake a WebSocket origin accepts; `first` follows at once."""
    frames = b"".join(frame(*message) for message in first)
    return Scenario(
        name=f"socket-{name}",
        why=why,
        config="sockets",
        origin={f"/{name}": accept(*headers, frames=frames)},
        steps=[Send(upgrade(f"/{name}", *asks, host=host)), Receive(b"\r\n\r\n"), *steps],
        difference=difference,
        **more,  # type: ignore[arg-type]  # fields of Scenario
    )


def session(
    name: str,
    why: str,
    *steps: Step,
    first: bytes | None = None,
    then: Sequence[Answer] = (),
    host: str = WOH_HOST,
    asks: Sequence[str] = (),
    difference: Differences = None,
) -> Scenario:
    """Make the scenario of a session over HTTP: `first` accepts it, `then` are the further answers."""
    answers = [opened() if first is None else first, *then]
    return Scenario(
        name=f"session-{name}",
        why=why,
        config="sockets",
        origin={f"/{name}#{number}": each for number, each in enumerate(answers, 1)} | {f"/{name}": answered()},
        steps=[Send(upgrade(f"/{name}", *asks, host=host)), Receive(b"\r\n\r\n"), *steps],
        difference=difference,
    )


def both(
    name: str,
    why: str,
    *steps: Step,
    first: Sequence[Message],
    host: str = "plain",
    difference: Difference | None = None,
) -> list[Scenario]:
    """Make the two scenarios of what holds for WebSocket origins and for those over HTTP.

    `difference` is what the first of them shows.
    """
    return [
        socket(name, why, *steps, first=first, host=f"{host}.ws.test", difference=difference),
        session(name, why, *steps, first=opened(*first), host=f"{host}.woh.test"),
    ]


def at_origin(marker: bytes, count: int = 1) -> OriginReceive:
    return OriginReceive(marker, count)
