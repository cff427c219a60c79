"""Lets clients live on one worker's engine, or go from one to another, and writes down what each of them sees."""

import re
from collections import defaultdict, deque
from collections.abc import Sequence

from gripproxy.engine.arrivals import Installer
from gripproxy.engine.departures import Packer
from gripproxy.engine.effects import (
    AskLink,
    AskOrigin,
    AwaitReader,
    CloseChannel,
    CloseOrigin,
    Continue,
    Cut,
    Deliver,
    DropLink,
    Effect,
    EndSocket,
    Finish,
    ForgetId,
    Forward,
    OpenChannel,
    OpenSocket,
    Park,
    Respond,
    ToOrigin,
    Unpark,
    WakeUpdates,
    Write,
)
from gripproxy.engine.events import Continued, Event, OriginAnswered, OriginBodyCollected, ReaderCaughtUp
from gripproxy.engine.handover import catch_up
from gripproxy.engine.observer import Identity, Nobody
from gripproxy.protocol.handed_batch import decode_batch, encode_batch
from gripproxy.protocol.http1 import Headers, RequestHead
from gripproxy.protocol.publish_item import PublishItem
from gripproxy.protocol.telemetry import Traffic
from gripproxy.settings import Settings
from tests.engine.conversation import Conversation, accepting, response

_CLIENT = re.compile(rb"/c(\d+)/")  # in the path of every request on behalf of a client


class Names(Nobody):
    """Knows the clients of one worker by their own names."""

    def __init__(self) -> None:
        self.clients: dict[int, int] = {}  # by connection

    def connection_id(self, conn_id: int) -> bytes:
        return b"00000000-0000-4000-8000-%012x" % self.clients[conn_id]

    def identity(self, conn_id: int) -> Identity:
        return (self.clients[conn_id],)

    def on_taken_over(self, conn_id: int, identity: Identity) -> None:
        assert self.clients[conn_id] == identity[0]


class World:
    """Some workers and their clients. Connections have other numbers on other workers.

    `read` is what each client was sent, `heard` what origins were, on its behalf; `asked` are requests without answer,
    as worker and link. `ended` are clients whose connection is closed, `idle` those that may ask again.
    """

    def __init__(self, routes: Sequence[str], settings: Settings) -> None:
        self.talks = [Conversation(lines, settings) for lines in routes]
        self.names = [Names() for _ in routes]
        self.channels: list[set[str]] = [set() for _ in routes]
        for talk, names in zip(self.talks, self.names, strict=True):
            talk.core.accounts.observer = names
        self.installers = [Installer(talk.core) for talk in self.talks]
        self.read: dict[int, list[bytes]] = defaultdict(list)
        self.heard: dict[int, list[bytes]] = defaultdict(list)
        self.asked: dict[int, deque[tuple[int, int]]] = defaultdict(deque)
        self.asking: set[int] = set()
        self.ended: set[int] = set()
        self.idle: set[int] = set()
        self.sockets: set[int] = set()
        self._homes: dict[int, tuple[int, int]] = {}
        self._waking: set[int] = set()
        self._unfinished: set[int] = set()
        self._next_conn_id = 4

    # What happens.

    def ask(self, client: int, head: RequestHead, worker: int = 0) -> None:
        """Let a client ask; a new one on the worker that is said."""
        if client not in self._homes:
            self._place(client, worker)
        self.idle.discard(client)
        worker, conn_id = self._homes[client]
        self._take(worker, self.talks[worker].asks(conn_id, head))

    def answer(self, client: int, headers: Headers, body: bytes) -> None:
        """Let the origin answer a client's own request."""
        self.asking.discard(client)
        worker, conn_id = self._homes[client]
        if client in self.sockets:
            self._handle(worker, OriginAnswered(conn_id, accepting(b"grip")))
            return
        self._handle(worker, OriginAnswered(conn_id, response(200, headers)))
        self._handle(worker, OriginBodyCollected(conn_id, body))

    def answer_link(self, client: int, headers: Headers, body: bytes, status: int = 200) -> None:
        """Let the origin answer the request that was made first on a client's behalf."""
        worker, link_id = self.asked[client].popleft()
        talk = self.talks[worker]
        self._take(worker, talk.link_answers(link_id, headers, status))
        if status == 200:
            if body:
                self._take(worker, talk.link_sends(link_id, body))
            self._take(worker, talk.link_ends(link_id))

    def publish(self, item: PublishItem) -> None:
        for worker, talk in enumerate(self.talks):
            if item.id is not None:
                talk.last_ids.note(item.channel, item.id)
            self._take(worker, talk.publish(item))

    def stale(self, names: list[str]) -> None:
        for worker, talk in enumerate(self.talks):
            self._take(worker, talk.is_told_to_update(names))

    def wait(self, seconds: float) -> None:
        for worker, talk in enumerate(self.talks):
            talk.core.accounts.traffic.tick(talk.now + seconds)
            self._take(worker, talk.passes(seconds))

    def go_on(self) -> None:
        """Let everything come that was put off: batches of updates, and the rest of large fan-outs."""
        while self._waking or self._unfinished:
            for worker in list(self._unfinished):
                self._unfinished.discard(worker)
                self._handle(worker, Continued())
            for worker in [] if self._unfinished else list(self._waking):  # what was published first comes first
                self._waking.discard(worker)
                self._take(worker, self.talks[worker].updates())

    def tell(self, client: int, event: type, *arguments: object) -> None:
        """Let something happen to a client, as an event that begins with its number."""
        worker, conn_id = self._homes[client]
        self._handle(worker, event(conn_id, *arguments))

    def leave(self, client: int) -> None:
        worker, conn_id = self._homes[client]
        self._take(worker, self.talks[worker].leaves(conn_id))
        self._end(client)

    @property
    def ends(self) -> list[int]:
        """How often items ended in each way, and last how many wait."""
        books = [talk.core.accounts.books for talk in self.talks]
        return [*map(sum, zip(*[each.ends for each in books], strict=True)), sum([each.pending for each in books])]

    @property
    def traffic(self) -> dict[str, list[int]]:
        """What went through each route. What was the most at one time is each worker's own."""
        totals: dict[str, list[int]] = {}
        for talk in self.talks:
            for route, traffic in talk.core.accounts.traffic.routes.items():
                values = [value for kind, value in enumerate(traffic.values) if kind != Traffic.CONNECTIONS_MAX]
                totals[route] = [sum(pair) for pair in zip(totals.get(route, [0] * len(values)), values, strict=True)]
        return totals

    # From one worker to another.

    def move(self, clients: Sequence[int], to: int, is_refused: bool = False) -> list[int]:
        """Let those of some clients that are at rest go to another worker; or try to. Give those that did."""
        moved: list[int] = []
        movable = [client for client in clients if client in self._homes and self._homes[client][0] != to]
        by_worker = defaultdict(list)
        for client in movable:
            by_worker[self._homes[client][0]].append(client)
        for worker, some in by_worker.items():
            moved += self._move(some, worker, to, is_refused)
        return moved

    def _move(self, clients: list[int], worker: int, to: int, is_refused: bool) -> list[int]:
        old, new = self.talks[worker], self.talks[to]
        conn_ids = [self._homes[client][1] for client in clients]
        self._take(worker, catch_up(old.core, conn_ids, old.now))
        packer = Packer(old.core, old.now)
        batch = []
        for client in clients:
            if client not in self._homes:
                continue  # what it was due was its end
            record = packer.pack(self._homes[client][1])
            if record is not None:
                batch.append((client, record))
        if is_refused:
            for client, _ in batch:
                self._take(worker, packer.restore(self._homes[client][1], old.now))
            return []
        tables, records = decode_batch(encode_batch((packer.tables(), batch)))
        self.installers[to].begin(tables, new.now)
        for client, record in records:
            _, conn_id = self._homes[client]
            new_id = self._place(client, to)
            self._take(to, self.installers[to].install(record, new_id, new.now))
            self._take(worker, packer.release(conn_id))
            del self.names[worker].clients[conn_id]
        return [client for client, _ in batch]

    # What is seen.

    def _place(self, client: int, worker: int) -> int:
        conn_id = self._next_conn_id
        self._next_conn_id += 1
        self._homes[client] = worker, conn_id
        self.names[worker].clients[conn_id] = client
        return conn_id

    def _end(self, client: int) -> None:
        worker, conn_id = self._homes.pop(client)
        self.names[worker].clients.pop(conn_id, None)
        self.ended.add(client)
        self.idle.discard(client)
        self.asking.discard(client)

    def _handle(self, worker: int, event: Event) -> None:
        talk = self.talks[worker]
        self._take(worker, talk.core.handle(event, talk.now))

    def _take(self, worker: int, effects: list[Effect]) -> None:
        talk, clients = self.talks[worker], self.names[worker].clients
        for effect in effects:
            if isinstance(effect, Deliver | Forward):
                for conn_id in effect.conn_ids:
                    self.read[clients[conn_id]].append(effect.payload)
            elif isinstance(effect, Finish):
                for conn_id in list(effect.conn_ids):
                    self._finish(clients[conn_id], effect.payload, effect.is_persistent)
            elif isinstance(effect, Respond):
                self._finish(clients[effect.conn_id], effect.payload, effect.is_persistent)
            elif isinstance(effect, Park | Write | OpenSocket):
                self.read[clients[effect.conn_id]].append(effect.payload)
            elif isinstance(effect, EndSocket):
                self._finish(clients[effect.conn_id], effect.payload, False)
            elif isinstance(effect, Cut):
                self._finish(clients[effect.conn_id], b"(cut)", False, conn_id=effect.conn_id, worker=worker)
            elif isinstance(effect, AskLink):
                self._note_link(worker, effect)
            elif isinstance(effect, DropLink):
                for asked in self.asked.values():
                    while (worker, effect.link_id) in asked:
                        asked.remove((worker, effect.link_id))
            elif isinstance(effect, AskOrigin):
                client = clients[effect.conn_id]
                self.asking.add(client)
                self.heard[client].append(effect.head)
            elif isinstance(effect, ToOrigin):
                self.heard[clients[effect.conn_id]] += [frame.payload for frame in effect.frames]
            elif isinstance(effect, CloseOrigin):
                self.heard[clients[effect.conn_id]].append(effect.frame.payload + b"(closed)")
            elif isinstance(effect, AwaitReader):
                self._handle(worker, ReaderCaughtUp(effect.conn_id))
            elif isinstance(effect, ForgetId):
                for each in self.talks:
                    if each.last_ids.get(effect.channel) == effect.last_id:
                        each.last_ids.pop(effect.channel)
            elif isinstance(effect, OpenChannel):
                self.channels[worker].add(effect.name)
            elif isinstance(effect, CloseChannel):
                self.channels[worker].remove(effect.name)
            elif isinstance(effect, WakeUpdates):
                self._waking.add(worker)
            elif isinstance(effect, Continue):
                self._unfinished.add(worker)
            elif isinstance(effect, Unpark):
                self.heard[clients[effect.conn_id]].append(b"(asked again)")
        assert set(talk.core.holds.subscriptions.channels) == self.channels[worker]

    def _note_link(self, worker: int, effect: AskLink) -> None:
        found = _CLIENT.search(effect.head)
        assert found is not None
        client = int(found[1])
        self.heard[client].append(effect.head)
        if b"/gone" not in effect.head.partition(b"\r\n")[0]:
            self.asked[client].append((worker, effect.link_id))

    def _finish(self, client: int, payload: bytes, is_persistent: bool, worker: int = 0, conn_id: int = 0) -> None:
        self.read[client].append(payload)
        self.idle.add(client)
        if not is_persistent:
            self._end(client)
        if conn_id:
            self._take(worker, self.talks[worker].leaves(conn_id))
