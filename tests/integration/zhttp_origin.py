"""Origins that speak HTTP over ZeroMQ, written with pyzmq alone: what a zhttp target's users have at the other end.

They know what tests ask by path (`/echo`, `/size/N`, ...), keep strictly to the credits they are given, and note every
packet that came. Packets are read and written by another library than gripproxy's own code.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import tnetstring  # type: ignore[import-untyped]
import zmq

Packet = dict[bytes, Any]

POLL_MS = 20
CREDITS = 50_000  # granted to the proxy for request bodies, each time they are used up
PIECE_MAX_BYTES = 20_000  # of a response's body in one packet
STREAM_HEADERS = [[b"Content-Type", b"text/plain"], [b"Grip-Hold", b"stream"], [b"Grip-Channel", b"news"]]
POLL_HEADERS = [[b"Content-Type", b"text/plain"], [b"Grip-Hold", b"response"], [b"Grip-Channel", b"news"]]


def decode(message: bytes) -> Packet:
    """Read a packet.

    Raises:
        AssertionError: it does not begin with its mark.
    """
    assert message[:1] == b"T", message[:100]
    packet: Packet = tnetstring.loads(message[1:])
    return packet


def encode(packet: Packet) -> bytes:
    encoded: bytes = tnetstring.dumps(packet)
    return b"T" + encoded


def path_of(packet: Packet) -> str:
    """Give the path and query of a request's `uri`."""
    uri: bytes = packet[b"uri"]
    return "/" + uri.decode().split("/", 3)[3]


@dataclass(slots=True)
class Answer:
    """A response before it is cut into packets."""

    code: int = 200
    reason: bytes = b"OK"
    headers: list[list[bytes]] = field(default_factory=lambda: [[b"Content-Type", b"text/plain"]])
    body: bytes = b""


def answer_to(path: str, body: bytes) -> Answer:
    """Say what every origin of this module answers."""
    name, _, argument = path.removeprefix("/").partition("/")
    if name == "echo":
        return Answer(body=body)
    if name == "size":
        return Answer(body=b"0123456789abcdef" * (int(argument) // 16))
    if name == "status":
        return Answer(int(argument), b"Chosen")
    if name == "hold":
        return Answer(headers=STREAM_HEADERS, body=b"[open]\n")
    if name == "poll":
        return Answer(headers=POLL_HEADERS, body=b"nothing yet\n")
    if name == "linked":
        return Answer(headers=[[b"Grip-Link", b"</after>; rel=next"]], body=b"[first]\n")
    if name == "headers":
        return Answer(headers=[[b"X-A", b"1"], [b"x-a", b"2"]], body=b"h")
    if name == "length":
        return Answer(headers=[[b"Content-Length", argument.encode()]], body=b"hello")
    return Answer(body=b"hello from " + path.encode() + b"\n")


class ZmqThread:
    """A thread with sockets of its own, which `serve` opens. `answer_to` says what a request gets, if all goes well."""

    def __init__(self, spec: str) -> None:
        self.spec = spec
        self.answer_to: Callable[[str, bytes], Answer] = answer_to
        self.requests: list[Packet] = []  # first packets
        self.packets: list[Packet] = []  # all later ones
        self.is_stopping = False
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Connect; requests are taken from then on."""
        self._thread.start()
        assert self._ready.wait(10)

    def stop(self) -> None:
        """Leave; what was not answered never will be."""
        self.is_stopping = True
        self._thread.join(10)

    def _run(self) -> None:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            self.serve(context)
        finally:
            context.destroy(0)

    def serve(self, context: "zmq.Context[zmq.Socket[bytes]]") -> None:
        raise NotImplementedError


class ReqOrigin(ZmqThread):
    """A REP socket: one packet, one answer. `/error/CONDITION` and `/raw/BYTES` are answered with that."""

    def serve(self, context: "zmq.Context[zmq.Socket[bytes]]") -> None:
        rep = context.socket(zmq.REP)
        rep.connect(self.spec)
        self._ready.set()
        while not self.is_stopping:
            if rep.poll(POLL_MS):
                packet = decode(rep.recv())
                self.requests.append(packet)
                rep.send(self.answer(packet))

    def answer(self, packet: Packet) -> bytes:
        path = path_of(packet)
        name, _, argument = path.removeprefix("/").partition("/")
        if name == "raw":
            return argument.encode()
        if name == "error":
            return encode({b"id": packet[b"id"], b"type": b"error", b"condition": argument.encode()})
        answer = self.answer_to(path, packet.get(b"body", b""))
        answered = {b"id": packet[b"id"], b"code": answer.code, b"reason": answer.reason, b"headers": answer.headers}
        if name == "more":
            answered[b"more"] = True
        return encode({**answered, b"body": answer.body})


@dataclass(slots=True)
class StreamSession:
    """One request at a `StreamOrigin`."""

    request: Packet
    path: str
    body: bytes = b""
    is_request_whole: bool = False
    credits: int = 0  # what the proxy takes of the response
    granted: int = 0  # what the proxy may still send
    seq: int = 0
    proxy_seq: int = 0
    answer: Answer | None = None
    unsent: bytes = b""


class StreamOrigin(ZmqThread):
    """PULL, ROUTER and PUB: the streaming form, many requests at once.

    `/mute` is never answered, `/error/CONDITION` with that, `/cancel` with a cancel. `/late` comes with a first packet
    that is only a credit. `/bad-seq` and `/no-seq` break off in the middle of their response, `/die` too, but silently.
    `/early` answers before the request's body is here. With `is_router` answers go over the ROUTER socket.
    """

    def __init__(self, addresses: tuple[str, str, str], identity: bytes = b"wk1", is_router: bool = False) -> None:
        super().__init__(addresses[0])
        self.addresses = addresses
        self.identity = identity
        self.is_router = is_router
        self.sessions: dict[bytes, StreamSession] = {}
        self.errors: list[str] = []  # what the proxy did that the protocol forbids
        self._send: Callable[[bytes, bytes], None] = lambda proxy, packet: None

    def serve(self, context: "zmq.Context[zmq.Socket[bytes]]") -> None:
        out_address, stream_address, in_address = self.addresses
        router = context.socket(zmq.ROUTER)
        router.setsockopt(zmq.ROUTING_ID, self.identity)
        router.connect(stream_address)
        pub = context.socket(zmq.PUB)
        pub.connect(in_address)
        monitor = pub.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        pull = context.socket(zmq.PULL)

        def send(proxy: bytes, message: bytes) -> None:
            if self.is_router:
                router.send_multipart([proxy, b"", message])
            else:
                pub.send(proxy + b" " + message)

        self._send = send
        poller = zmq.Poller()
        for zmq_socket in (router, pull, monitor):
            poller.register(zmq_socket, zmq.POLLIN)
        self._ready.set()
        is_joined = False
        while not self.is_stopping:
            for zmq_socket, _ in poller.poll(POLL_MS):
                if zmq_socket is monitor:
                    monitor.recv_multipart()
                    threading.Event().wait(0.1)  # until the subscription is here too: no event tells of it
                    if not is_joined:
                        is_joined = True
                        pull.connect(out_address)
                elif zmq_socket is pull:
                    self.on_request(decode(pull.recv()))
                else:
                    self.on_packet(decode(router.recv_multipart()[-1]))
        monitor.close()

    def on_request(self, packet: Packet) -> None:
        self.requests.append(packet)
        if packet.get(b"seq") != 0 or not packet.get(b"stream"):
            self.errors.append(f"a first packet is not one: {packet}")
        session = StreamSession(packet, path_of(packet), packet.get(b"body", b""), credits=packet[b"credits"])
        session.is_request_whole = not packet.get(b"more")
        self.sessions[packet[b"id"]] = session
        if session.path == "/late" or not session.is_request_whole:
            self.grant(session)
        self.advance(session)

    def on_packet(self, packet: Packet) -> None:
        self.packets.append(packet)
        ids = packet[b"id"]
        if isinstance(ids, bytes):
            ids = [{b"id": ids, b"seq": packet.get(b"seq")}]
        for entry in ids:
            session = self.sessions.get(entry[b"id"])
            if session is None:
                continue
            session.proxy_seq += 1
            if entry[b"seq"] != session.proxy_seq:
                self.errors.append(f"seq {entry[b'seq']} instead of {session.proxy_seq} in {packet}")
            self.on_session_packet(session, packet)

    def on_session_packet(self, session: StreamSession, packet: Packet) -> None:
        kind = packet.get(b"type")
        if kind in (b"cancel", b"error"):
            del self.sessions[session.request[b"id"]]
            return
        session.credits += packet.get(b"credits", 0)
        if kind is None:
            part = packet.get(b"body", b"")
            session.body += part
            session.granted -= len(part)
            if session.granted < 0:
                self.errors.append(f"{-session.granted} bytes too many")
            session.is_request_whole = not packet.get(b"more")
            if not session.is_request_whole and session.granted == 0:
                self.grant(session)
        self.advance(session)

    def grant(self, session: StreamSession) -> None:
        session.granted += CREDITS
        self.send(session, {b"type": b"credit", b"credits": CREDITS})

    def advance(self, session: StreamSession) -> None:
        """Answer as far as credits and the path allow."""
        if session.answer is None:
            if not session.is_request_whole and session.path != "/early":
                return
            if not self.begin(session):
                return
        while len(session.unsent) and session.credits:
            size = min(session.credits, PIECE_MAX_BYTES)
            part, session.unsent = session.unsent[:size], session.unsent[size:]
            session.credits -= len(part)
            self.send(session, {b"body": part, b"more": True})
        if not session.unsent:
            self.send(session, {})
            self.sessions.pop(session.request[b"id"], None)

    def begin(self, session: StreamSession) -> bool:
        """Send the head, and say whether the rest follows as usual."""
        name, _, argument = session.path.removeprefix("/").partition("/")
        if name in ("error", "cancel"):
            kind = {b"type": b"cancel"} if name == "cancel" else {b"type": b"error", b"condition": argument.encode()}
            self.send(session, kind)
        if name in ("mute", "error", "cancel"):
            return False
        session.answer = answer = self.answer_to(session.path, session.body)
        head: Packet = {b"code": answer.code, b"reason": answer.reason, b"headers": answer.headers}
        if len(answer.body) <= PIECE_MAX_BYTES and name not in ("bad-seq", "no-seq", "die"):
            session.credits -= len(answer.body)
            self.send(session, {**head, b"body": answer.body})
            self.sessions.pop(session.request[b"id"], None)
            return False
        self.send(session, {**head, b"more": True, b"credits": 1000})
        session.granted += 1000
        session.unsent = answer.body
        if name == "bad-seq":
            session.seq += 1
        elif name == "no-seq":
            self._send(session.request[b"from"], encode({b"from": self.identity, b"id": session.request[b"id"]}))
        return name not in ("die", "no-seq")

    def send(self, session: StreamSession, packet: Packet) -> None:
        numbered = {b"from": self.identity, b"id": session.request[b"id"], b"seq": session.seq}
        if session.seq == 0:
            numbered[b"ext"] = {b"multi": True}
        session.seq += 1
        self._send(session.request[b"from"], encode({**numbered, **packet}))
