"""Clients that go from worker to worker see what they would have seen on one, and so do their origins."""

from collections import Counter
from collections.abc import Callable, Iterable
from random import Random

import pytest

from gripproxy.engine import fan_out, http_delivery
from gripproxy.engine.events import FramesCame, OriginFramesCame
from gripproxy.protocol.http1 import Headers
from gripproxy.protocol.publish_format import Action, HttpResponseFormat, HttpStreamFormat, WsMessageFormat
from gripproxy.protocol.publish_item import PublishItem
from gripproxy.protocol.websocket_events import MEDIA_TYPE
from gripproxy.protocol.websocket_frame import CLOSE, CONTINUATION, TEXT, Frame
from gripproxy.settings import Settings
from tests.engine.conversation import request, socket_request
from tests.engine.two_workers import World

OVER_HTTP, TEST = "*,path_beg=/o origin:80,over_http,sub=all", "*,path_beg=/t,id=tests,debug test"
PREFIXED = "*,path_beg=/p,prefix=p-,id=prefixed origin:81 origin:80,sub=all"
ROUTES = "\n".join(["* origin:80", OVER_HTTP, TEST, PREFIXED])
FEWER_ROUTES = "\n".join([OVER_HTTP, "* origin:80", TEST])  # as a new version may find them: one is gone
KINDS = ("plain", "old", "kept", "linked", "filtered", "poll", "prev poll", "socket", "over http", "test")
CHANNELS = ("news", "sports")
PATHS = {"over http": b"/o", "test": b"/t"}
LARGE_BYTES = 1500
STEPS_COUNT = 2000
CONTROLS = (
    b'c:{"type": "subscribe", "channel": "news"}',
    b'c:{"type": "subscribe", "channel": "sports", "filters": ["skip-self"]}',
    b'c:{"type": "unsubscribe", "channel": "news"}',
    b'c:{"type": "set-meta", "name": "user", "value": "c1"}',
    b'c:{"type": "keep-alive", "content": "alive", "timeout": 5}',
    b'c:{"type": "keep-alive", "content": "alive", "timeout": 3, "mode": "interval"}',
    b'c:{"type": "send-delayed", "content": "m:later", "timeout": 4}',
    b'c:{"type": "flush-delayed"}',
    b'c:{"type": "detach"}',
    b"m:hello",
)


class Moves:
    """The same things happen in a world of one worker and in one of two, between which clients go to and fro."""

    def __init__(self, seed: int, message_rate: int = 0) -> None:
        given = Settings(subscription_linger=0, message_rate=message_rate)
        self.random = Random(seed)
        self.still, self.moving = World([ROUTES], given), World([ROUTES, FEWER_ROUTES], given)
        self.worlds = self.still, self.moving
        self.kinds: dict[int, str] = {}
        self.torn: set[int] = set()  # in the middle of a message of their origin
        self.ids = dict.fromkeys(CHANNELS, 0)
        self.moved: Counter[str] = Counter()

    def run(self) -> None:
        steps: list[tuple[Callable[[], None], int]] = [
            (self.come, 3),
            (self.come_again, 1),
            (self.be_answered, 4),
            (self.get_more, 4),
            (self.origin_speaks, 2),
            (self.client_speaks, 1),
            (self.leave, 1),
            (self.publish, 8),
            (self.be_stale, 1),
            (self.wait, 3),
            (self.move, 6),
        ]
        for step in self.random.choices(*zip(*steps, strict=True), k=STEPS_COUNT):
            step()
        self.settle()
        self.compare()
        assert self.still.ends == self.moving.ends
        assert self.still.traffic == self.moving.traffic

    def compare(self) -> None:
        assert self.still.read == self.moving.read
        assert self.still.heard == self.moving.heard
        assert (self.still.ended, self.still.idle) == (self.moving.ended, self.moving.idle)
        assert {name for names in self.moving.channels for name in names} == self.still.channels[0]

    def settle(self) -> None:
        """Let no item be on its way: slices of a large one are cut otherwise on two workers than on one."""
        for world in self.worlds:
            world.go_on()

    def one_of(self, clients: Iterable[int]) -> int | None:
        found = sorted(clients)
        return self.random.choice(found) if found else None

    def is_one_in(self, count: int) -> bool:
        return self.random.randrange(count) == 0

    # Clients and their origins.

    def come(self) -> None:
        client, kind = len(self.kinds) + 1, self.random.choice(KINDS)
        self.kinds[client] = kind
        beginning = PATHS.get(kind) or (b"/p" if self.is_one_in(2) else b"")
        worker = 0 if beginning == b"/p" else self.random.randrange(2)  # the other one has no such route
        self.settle()
        for world in self.worlds:
            self.ask(world, client, beginning, worker if world is self.moving else 0)
        self.compare()

    def ask(self, world: World, client: int, beginning: bytes, worker: int = 0) -> None:
        kind, path = self.kinds[client], beginning + b"/c%d/" % client
        if kind in ("socket", "over http", "test"):
            if kind == "socket":
                world.sockets.add(client)
            world.ask(client, socket_request(b"/t/ws?channel=news&" + path if kind == "test" else path), worker)
        elif kind == "old":
            world.ask(client, request(path, is_http11=False, is_keep_alive=False), worker)
        else:
            world.ask(client, request(path), worker)

    def come_again(self) -> None:
        self.settle()
        client = self.one_of(self.still.idle)
        if client is not None:
            for world in self.worlds:
                self.ask(world, client, PATHS.get(self.kinds[client], b""))
            self.compare()

    def be_answered(self) -> None:
        self.settle()
        client = self.one_of(self.still.asking)
        if client is not None:
            headers = self.instruct(client)
            for world in self.worlds:
                world.answer(client, headers, b"begin")
            self.compare()

    def instruct(self, client: int) -> Headers:
        kind, channel = self.kinds[client], self.random.choice(CHANNELS)
        number, path, name = self.ids[channel], b"/c%d/" % client, channel.encode()
        gone = (b"Grip-Link", b"<%sgone>; rel=gone" % path)
        if kind in ("poll", "prev poll"):
            params = b"; prev-id=%d" % number if kind == "prev poll" else b""
            hold = [(b"Grip-Hold", b"response"), (b"Grip-Channel", name + params), (b"Grip-Timeout", b"6")]
            return [*hold, *([gone] if client % 2 else [])]
        hold = [(b"Grip-Hold", b"stream"), (b"X-Kind", kind.encode())]
        if kind == "linked":
            followed = (b"Grip-Channel", b"%s; prev-id=%d" % (name, number))
            link = (b"Grip-Link", b"<%snext>; rel=next; timeout=%d" % (path, 3 + client % 3))
            return [*hold, followed, link, (b"Grip-Keep-Alive", b"ping; timeout=2")]
        if kind == "filtered":
            filtered = (b"Grip-Channel", name + b"; filter=skip-self")
            return [*hold, filtered, gone, (b"Grip-Set-Meta", b"user=c%d" % client)]
        kept = [(b"Grip-Keep-Alive", b"ping; timeout=%d" % (2 + client % 3))] if kind == "kept" else []
        return [*hold, (b"Grip-Channel", name), (b"Grip-Channel", b"all"), *kept]

    def get_more(self) -> None:
        """A request of the proxy's own is answered: for a next part, or with events."""
        self.settle()
        client = self.one_of([each for each, asked in self.still.asked.items() if asked])
        if client is None:
            return
        if self.kinds[client] == "over http":
            is_first = not self.still.read.get(client)
            message = self.random.choice(CONTROLS)
            body = b"OPEN\r\n" if is_first else b"TEXT %x\r\n%s\r\n" % (len(message), message)
            headers = [(b"Content-Type", MEDIA_TYPE), (b"Keep-Alive-Interval", b"20"), (b"Set-Meta-A", b"b")]
            headers += [(b"Sec-WebSocket-Extensions", b'grip; message-prefix="m:"')] if is_first else []
        else:
            headers, body = self.instruct(client), b"more"
        status = 500 if self.is_one_in(10) else 200
        for world in self.worlds:
            world.answer_link(client, headers, body, status)
        self.compare()

    def origin_speaks(self) -> None:
        self.settle()
        client = self.one_of([each for each in self.speakers if self.kinds[each] == "socket"])
        if client is None:
            return
        frames = [Frame(TEXT, self.random.choice(CONTROLS))]
        if client in self.torn:
            frames = [Frame(CONTINUATION, b"end")]
            self.torn.discard(client)
        elif self.is_one_in(5):
            frames = [Frame(TEXT, b"m:part", is_final=False)]
            self.torn.add(client)
        for world in self.worlds:
            world.tell(client, OriginFramesCame, frames)
        self.compare()

    def client_speaks(self) -> None:
        self.settle()
        client = self.one_of(self.speakers)
        if client is None:
            return
        frame = Frame(CLOSE, b"") if self.is_one_in(10) else Frame(TEXT, b"from the client")
        for world in self.worlds:
            world.tell(client, FramesCame, [frame])
        self.compare()

    @property
    def speakers(self) -> list[int]:
        """WebSocket clients that have been accepted."""
        core = self.still.talks[0].core
        return [client for conn_id, client in self.still.names[0].clients.items() if core.sockets.session(conn_id)]

    def leave(self) -> None:
        self.settle()
        client = self.one_of(self.still.names[0].clients.values())
        if client is not None:
            for world in self.worlds:
                world.leave(client)
            self.compare()

    # Items and time.

    def publish(self) -> None:
        channel = self.random.choice((*CHANNELS, *CHANNELS, "all", "p-news"))
        action = self.random.choice((Action.SEND,) * 18 + (Action.HINT, Action.CLOSE))
        number = self.ids.get(channel, 0) + self.is_one_in(8)
        text = b"%s %d" % (channel.encode(), number + 1) + b"." * (LARGE_BYTES * self.is_one_in(3))
        for world in self.worlds:
            item = PublishItem(
                channel,
                str(number + 1),
                str(number),
                HttpResponseFormat(Action.SEND if action is Action.CLOSE else action, body=text),
                HttpStreamFormat(action, text),
                WsMessageFormat(Action.REFRESH if action is Action.HINT else action, content=text),
                {"sender": f"c{number % 5}"},
            )
            world.publish(item)
        if channel in self.ids:
            self.ids[channel] = number + 1

    def wait(self) -> None:
        seconds = self.random.choice((0.25, 1.0, 2.0, 2.0, 30.0))
        self.settle()
        for world in self.worlds:
            world.wait(seconds)
        self.settle()
        self.compare()

    def be_stale(self) -> None:
        channel = self.random.choice(CHANNELS)
        self.settle()
        for world in self.worlds:
            world.stale([channel])

    def move(self) -> None:
        to, is_refused = self.random.randrange(2), self.is_one_in(5)
        here = self.moving.names[1 - to].clients
        clients = [client for client in here.values() if not self.is_one_in(4)]
        self.moved.update([self.kinds[client] for client in self.moving.move(clients, to, is_refused)])


@pytest.mark.parametrize("message_rate", [0, 1_000_000])
@pytest.mark.parametrize("seed", range(5))
def test_nobody_notices_a_move(seed: int, message_rate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each client gets the same bytes, and each origin the same requests, whichever worker the client is on."""
    monkeypatch.setattr(fan_out, "SLICE_MAX_BYTES", 2 * LARGE_BYTES)
    monkeypatch.setattr(http_delivery, "SMALL_BYTES", LARGE_BYTES - 1)
    moves = Moves(seed, message_rate)
    moves.run()
    assert min(moves.moved[kind] for kind in KINDS) >= 10, moves.moved
