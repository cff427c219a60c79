"""An origin for WebSockets over ZeroMQ, written with pyzmq alone; it answers requests too, like `zhttp_origin`."""

from collections import deque
from dataclasses import dataclass, field

from tests.integration.zhttp_origin import CREDITS, PIECE_MAX_BYTES, Packet, StreamOrigin, encode, path_of

PLAIN = [[b"X-Origin", b"zeromq"]]
GRIP = [[b"Sec-WebSocket-Extensions", b"grip"]]
SUBSCRIBING = b'c:{"type": "subscribe", "channel": "room"}'
CONTROL_TYPES = (b"ping", b"pong")


@dataclass(slots=True)
class SocketTalk:
    """One WebSocket at a `SocketOrigin`."""

    request: Packet
    path: str
    credits: int  # what the proxy takes
    granted: int = CREDITS  # what the proxy may still send
    seq: int = 0
    proxy_seq: int = 0
    is_mid_message: bool = False
    has_closed: bool = False
    unsent: deque[Packet] = field(default_factory=deque)


class SocketOrigin(StreamOrigin):
    """Echoes messages and answers pings, with GRIP at `/grip`, where it subscribes to ``room``. `/refuse` is refused.

    `/cancel` is accepted and then cancelled at the first message. Credits are granted as echoes are sent.
    """

    def __init__(self, addresses: tuple[str, str, str], identity: bytes = b"wk1", is_router: bool = False) -> None:
        super().__init__(addresses, identity, is_router)
        self.talks: dict[bytes, SocketTalk] = {}
        self.ended_count = 0  # of talks, by two closes or a cancel

    def on_request(self, packet: Packet) -> None:
        if not packet[b"uri"].startswith(b"ws://"):
            super().on_request(packet)
            return
        if packet.get(b"seq") != 0 or b"method" in packet or b"stream" in packet:
            self.errors.append(f"a first packet is not one of a WebSocket: {packet!r}")
        talk = SocketTalk(packet, path_of(packet), packet[b"credits"])
        if talk.path == "/refuse":
            refusal = {b"type": b"error", b"condition": b"rejected", b"code": 403, b"reason": b"Nobody"}
            self.say(talk, {**refusal, b"headers": PLAIN, b"body": b"refused\n"})
            return
        self.talks[packet[b"id"]] = talk
        headers = GRIP if talk.path == "/grip" else PLAIN
        self.say(talk, {b"code": 101, b"reason": b"Welcome", b"headers": headers, b"credits": CREDITS})
        if talk.path == "/grip":
            self.say(talk, {b"body": SUBSCRIBING})

    def on_packet(self, packet: Packet) -> None:
        ids = packet[b"id"]
        entries = [{b"id": ids, b"seq": packet.get(b"seq")}] if isinstance(ids, bytes) else ids
        talks = [(entry, self.talks[entry[b"id"]]) for entry in entries if entry[b"id"] in self.talks]
        if not talks:
            super().on_packet(packet)
            return
        self.packets.append(packet)
        for entry, talk in talks:
            talk.proxy_seq += 1
            if entry[b"seq"] != talk.proxy_seq:
                self.errors.append(f"seq {entry[b'seq']!r} instead of {talk.proxy_seq} in {packet!r}")
            self.on_talk_packet(talk, packet)

    def on_talk_packet(self, talk: SocketTalk, packet: Packet) -> None:
        kind, body = packet.get(b"type"), packet.get(b"body", b"")
        talk.credits += packet.get(b"credits", 0)
        if kind == b"cancel":
            self.end(talk)
        elif kind == b"close":
            if not talk.has_closed:
                self.say(talk, {key: packet[key] for key in (b"type", b"code", b"body") if key in packet})
            self.end(talk)
        elif kind is None or kind in CONTROL_TYPES:
            talk.granted -= len(body)
            if talk.granted < 0:
                self.errors.append(f"{-talk.granted} bytes too many")
            self.answer(talk, kind, packet, body)
        if packet[b"id"] in self.talks:
            self.advance_talk(talk)

    def answer(self, talk: SocketTalk, kind: bytes | None, packet: Packet, body: bytes) -> None:
        if kind is not None:
            if kind == b"ping":
                talk.unsent.append({b"type": b"pong", b"body": body})
        elif talk.path == "/cancel":
            self.say(talk, {b"type": b"cancel"})
            self.end(talk)
        elif body.startswith(b"close "):
            talk.has_closed = True
            self.say(talk, {b"type": b"close", b"code": int(body[6:]), b"body": b"as you wish"})
        else:
            prefix = b"m:" if talk.path == "/grip" and not talk.is_mid_message else b""
            talk.is_mid_message = bool(packet.get(b"more"))
            echo = {b"body": prefix + body, b"content-type": packet[b"content-type"]}
            talk.unsent.append({**echo, b"more": True} if talk.is_mid_message else echo)

    def advance_talk(self, talk: SocketTalk) -> None:
        """Send as far as credits go, and give as much credit as has been sent."""
        while talk.unsent:
            packet = talk.unsent[0]
            body = packet[b"body"]
            size = min(len(body), talk.credits, PIECE_MAX_BYTES)
            if size < len(body) and (not size or packet.get(b"type") in CONTROL_TYPES):
                return
            talk.credits -= size
            if size == len(body):
                self.say(talk, packet)
                talk.unsent.popleft()
            else:
                self.say(talk, {**packet, b"body": body[:size], b"more": True})
                packet[b"body"] = body[size:]
        if talk.granted < CREDITS // 2:
            self.say(talk, {b"type": b"credit", b"credits": CREDITS - talk.granted})
            talk.granted = CREDITS

    def end(self, talk: SocketTalk) -> None:
        del self.talks[talk.request[b"id"]]
        self.ended_count += 1

    def say(self, talk: SocketTalk, packet: Packet) -> None:
        numbered = {b"from": self.identity, b"id": talk.request[b"id"], b"seq": talk.seq, b"ext": {b"multi": True}}
        talk.seq += 1
        self._send(talk.request[b"from"], encode({**numbered, **packet}))
