"""Requests of our own: for the next part of held streams, and to say that a hold is over."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from typing import Any, Protocol

from gripproxy.engine.accounts import Accounts
from gripproxy.engine.client_request import ClientRequest
from gripproxy.engine.effects import LOG_WARNING, DropLink, Effect, Forward, Log
from gripproxy.engine.events import LinkAnswered, LinkBodyCame, LinkDone, LinkFailed, OriginFailure
from gripproxy.engine.holds import StreamState, TrackedStream
from gripproxy.engine.link_requests import LinkRequests, way_to
from gripproxy.engine.observer import Answer
from gripproxy.engine.timer_wheel import Slot, TimerWheel
from gripproxy.errors import FilterError, OriginError
from gripproxy.protocol.filters import ResponseFilter, response_filter
from gripproxy.protocol.http1 import encode_chunk
from gripproxy.protocol.instruct import HoldMode, Instruct, decode_instruct
from gripproxy.protocol.link_url import LinkUrl
from gripproxy.protocol.route_target import Target
from gripproxy.protocol.telemetry import Outcome

RETRIES_MAX_COUNT = 5  # after 1, 2, 4, 8 and 16 seconds and up to one more, same as Pushpin
STREAMS_MAX_COUNT = 100  # that share one request: each part of its body is written to all of them in one turn

NOT_RETRIEVED = "Failed to retrieve next link."


class FetchState(IntEnum):
    """How far the request for a next part is."""

    ASKING = 0  # others who want the same may join
    RELAYING = 1  # its body goes to the streams as it comes
    PAUSING = 2  # it failed, and will be repeated


ASKING, RELAYING, PAUSING = FetchState


@dataclass(slots=True, eq=False)
class Fetch:
    """One request for the next part of some streams, which have the same link and the same last ids."""

    key: object
    url: LinkUrl
    path: bytes
    request: ClientRequest  # of one of the streams: it says the route
    last_ids: tuple[tuple[str, str], ...]
    targets: tuple[Target, ...]
    streams: dict[int, TrackedStream] = field(default_factory=dict)
    state: FetchState = ASKING
    link_id: int = 0  # of the present attempt
    answer: Answer = field(default_factory=lambda: Answer(0.0))  # so far, of the present attempt
    targets_tried: int = 0
    retries_count: int = 0
    has_forwarded: bool = False
    instruct: Instruct | None = None
    filter: ResponseFilter | None = None
    slot: Slot | None = None


class LinkOwner(Protocol):
    """Who has the streams: `Sessions`."""

    def resume(self, stream: TrackedStream, url: LinkUrl, instruct: Instruct, now: float) -> list[Effect]:
        """Go on with a stream that has got its next part."""
        ...

    def fail(self, stream: TrackedStream, text: str, now: float) -> list[Effect]:
        """End a stream that does not get its next part."""
        ...


class Links:
    """All next parts of one worker that are being asked for.

    `jitter`: gives a random number in [0, 1), which spreads repetitions over a second.
    """

    def __init__(
        self,
        requests: LinkRequests,
        owner: LinkOwner,
        wheel: TimerWheel,
        jitter: Callable[[], float],
        accounts: Accounts,
    ) -> None:
        self._requests = requests
        self._accounts = accounts
        self._owner = owner
        self._wheel = wheel
        self._jitter = jitter
        self._by_key: dict[object, Fetch] = {}  # those that others may join
        self._by_conn: dict[int, Fetch] = {}

    def fetch(self, stream: TrackedStream, now: float) -> list[Effect]:
        """Ask for a stream's next part, together with those who want the same at the moment."""
        assert stream.link is not None
        last_ids = tuple(sorted(stream.tracking.ids.items())) if stream.tracking is not None else ()
        key = (str(stream.link), last_ids, id(stream.request.route))
        fetch = self._by_key.get(key)
        if fetch is not None and len(fetch.streams) < STREAMS_MAX_COUNT:
            self._join(fetch, stream)
            return []
        path, targets = way_to(stream.request, stream.link)
        fetch = Fetch(key, stream.link, path, stream.request, last_ids, targets)
        self._by_key[key] = fetch
        self._join(fetch, stream)
        return self._ask(fetch, now)

    def leave(self, conn_id: int) -> list[Effect]:
        """Let a stream that is over wait no more, if it does."""
        fetch = self._by_conn.pop(conn_id, None)
        if fetch is None:
            return []
        del fetch.streams[conn_id]
        return [] if fetch.streams else self._drop(fetch)

    def say_gone(self, request: ClientRequest, url: LinkUrl, now: float) -> list[Effect]:
        """Tell the origin that a hold is over: one POST to the first target that can be reached."""
        path, targets = way_to(request, url)
        return self._say_gone(request, url, path, [target for target in targets if not target.is_test], now)

    def _say_gone(
        self, request: ClientRequest, url: LinkUrl, path: bytes, targets: list[Target], now: float
    ) -> list[Effect]:
        if not targets:
            return []
        on_event = partial(self._on_farewell, request, url, path, targets[1:])
        return [self._requests.send(on_event, request, url, (path, targets[0]), now, b"POST")]

    def _on_farewell(
        self, request: ClientRequest, url: LinkUrl, path: bytes, others: list[Target], event: Any, now: float
    ) -> list[Effect]:
        """Nobody waits for the answer; the log says when it was no success."""
        if isinstance(event, LinkFailed):
            others = others if event.failure is OriginFailure.CONNECT else []
            log = Log(LOG_WARNING, f"gone link {url}: {event.detail}")
            return [log, *self._say_gone(request, url, path, others, now)]
        assert isinstance(event, LinkAnswered)
        self._requests.forget(event.link_id)
        drop = DropLink(event.link_id)  # its body says nothing
        if 200 <= event.head.status < 300:
            return [drop]
        return [drop, Log(LOG_WARNING, f"gone link {url}: status {event.head.status}")]

    def _on_event(self, fetch: Fetch, event: Any, now: float) -> list[Effect]:
        if isinstance(event, LinkAnswered):
            return self._on_answered(fetch, event, now)
        if isinstance(event, LinkBodyCame):
            return self._on_body(fetch, event.part, now)
        if isinstance(event, LinkDone):
            return self._on_done(fetch, now)
        return self._on_failed(fetch, event, now)

    def on_due(self, fetch: Fetch, now: float) -> list[Effect]:
        """Repeat a request that failed."""
        fetch.targets_tried = 0
        return self._ask(fetch, now)

    def _join(self, fetch: Fetch, stream: TrackedStream) -> None:
        fetch.streams[stream.conn_id] = stream
        self._by_conn[stream.conn_id] = fetch

    def _ask(self, fetch: Fetch, now: float) -> list[Effect]:
        fetch.state = ASKING
        fetch.answer = Answer(now)
        target = fetch.targets[fetch.targets_tried]
        fetch.targets_tried += 1
        if target.is_test:  # it has no links of its own
            return self._retry(fetch, f"{target.label} has no next parts", now)
        on_event = partial(self._on_event, fetch)
        way = fetch.path, target
        effect = self._requests.send(on_event, fetch.request, fetch.url, way, now, last_ids=fetch.last_ids)
        fetch.link_id = effect.link_id
        return [effect]

    def _on_answered(self, fetch: Fetch, event: LinkAnswered, now: float) -> list[Effect]:
        head = event.head
        fetch.answer.status = head.status
        if not 200 <= head.status < 300:
            self._requests.forget(event.link_id)
            return [DropLink(event.link_id), *self._retry(fetch, f"status {head.status}", now)]
        try:
            instruct = decode_instruct(head.status, head.reason, head.headers, b"")
        except OriginError as error:
            return self._refuse(fetch, f"Failed to parse accept instructions: {error}", now)
        if instruct.hold is HoldMode.RESPONSE:
            return self._refuse(fetch, "Next link returned non-stream hold.", now)
        fetch.state = RELAYING
        fetch.instruct = instruct
        fetch.filter = response_filter([channel.filters for channel in instruct.channels], instruct.meta)
        self._close(fetch)
        return []

    def _on_body(self, fetch: Fetch, part: bytes, now: float) -> list[Effect]:
        fetch.answer.body_bytes += len(part)
        if fetch.filter is not None:
            try:
                part = fetch.filter.feed(part)
            except FilterError as error:
                return self._refuse(fetch, f"filter error: {error}", now)
        return self._forward(fetch, part)

    def _forward(self, fetch: Fetch, part: bytes) -> list[Effect]:
        if not part:
            return []
        if not fetch.has_forwarded:
            fetch.has_forwarded = True
            for stream in fetch.streams.values():
                stream.state = StreamState.RECEIVING
        chunked = [conn_id for conn_id, stream in fetch.streams.items() if stream.shape.is_chunked]
        raw = [conn_id for conn_id, stream in fetch.streams.items() if not stream.shape.is_chunked]
        effects: list[Effect] = []
        if chunked:
            effects.append(Forward(fetch.link_id, encode_chunk(part), chunked, len(fetch.streams)))
        if raw:
            effects.append(Forward(fetch.link_id, part, raw, len(fetch.streams)))
        return effects

    def _on_done(self, fetch: Fetch, now: float) -> list[Effect]:
        assert fetch.instruct is not None
        self._note(fetch, Outcome.ANSWERED)
        effects: list[Effect] = []
        if fetch.filter is not None:
            try:
                effects += self._forward(fetch, fetch.filter.end())
            except FilterError as error:
                return self._end_all(fetch, f"filter error: {error}", now)
        for stream in self._take_streams(fetch):
            effects += self._owner.resume(stream, fetch.url, fetch.instruct, now)
        return effects

    def _on_failed(self, fetch: Fetch, event: LinkFailed, now: float) -> list[Effect]:
        is_unreachable = event.failure is OriginFailure.CONNECT
        if is_unreachable and fetch.targets_tried < len(fetch.targets):
            return [_warning(fetch, event.detail), *self._ask(fetch, now)]
        return self._retry(fetch, event.detail, now)

    def _retry(self, fetch: Fetch, reason: str, now: float) -> list[Effect]:
        self._note(fetch, Outcome.FAILED)
        log = _warning(fetch, reason, is_origin_error=True)
        if fetch.has_forwarded or fetch.retries_count >= RETRIES_MAX_COUNT:
            return [log, *self._end_all(fetch, NOT_RETRIEVED, now)]
        fetch.state = PAUSING
        fetch.instruct = fetch.filter = None
        self._by_key.setdefault(fetch.key, fetch)
        self._wheel.schedule(fetch, now + 2**fetch.retries_count + self._jitter())
        fetch.retries_count += 1
        return [log]

    def _refuse(self, fetch: Fetch, text: str, now: float) -> list[Effect]:
        """Give up an answer that is no next part; to ask again would bring the same."""
        self._requests.forget(fetch.link_id)
        self._note(fetch, Outcome.ANSWERED)
        log = _warning(fetch, text, is_origin_error=True)
        return [DropLink(fetch.link_id), log, *self._end_all(fetch, text, now)]

    def _note(self, fetch: Fetch, outcome: Outcome) -> None:
        """Tell what came of a request, as one of the first of its streams."""
        conn_id = next(iter(fetch.streams))
        self._accounts.observer.on_link(conn_id, fetch.request, fetch.url, outcome, fetch.answer)

    def _end_all(self, fetch: Fetch, text: str, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for stream in self._take_streams(fetch):
            effects += self._owner.fail(stream, text, now)
        return effects

    def _close(self, fetch: Fetch) -> None:
        """Let nobody join any more."""
        if self._by_key.get(fetch.key) is fetch:
            del self._by_key[fetch.key]

    def _take_streams(self, fetch: Fetch) -> list[TrackedStream]:
        """Let go of a fetch that is over, and give its streams."""
        self._close(fetch)
        streams = list(fetch.streams.values())
        for stream in streams:
            del self._by_conn[stream.conn_id]
        fetch.streams.clear()
        return streams

    def _drop(self, fetch: Fetch) -> list[Effect]:
        self._take_streams(fetch)
        self._wheel.cancel(fetch)
        return [DropLink(fetch.link_id)] if self._requests.forget(fetch.link_id) else []


def _warning(fetch: Fetch, text: str, is_origin_error: bool = False) -> Log:
    return Log(LOG_WARNING, f"next link {fetch.url}: {text}", is_origin_error, about=next(iter(fetch.streams)))
