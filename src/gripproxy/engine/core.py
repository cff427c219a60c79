"""The brain of a worker: events in, effects out. It knows no socket and no clock."""

from collections.abc import Callable, Collection
from typing import Any

from gripproxy.engine.accounts import Accounts
from gripproxy.engine.admission import admit
from gripproxy.engine.effects import Continue, Effect, Unpark
from gripproxy.engine.events import (
    ChannelsStale,
    ClientGone,
    ClockTicked,
    ContentPublished,
    Continued,
    Event,
    FarewellDue,
    FramesCame,
    ItemPublished,
    LinkAnswered,
    LinkBodyCame,
    LinkDone,
    LinkFailed,
    OriginAnswered,
    OriginBodyCollected,
    OriginFailed,
    OriginFramesCame,
    OriginSocketGone,
    PacingDue,
    ReaderCaughtUp,
    RefreshAsked,
    RelayDone,
    RequestArrived,
    UpdatesDue,
)
from gripproxy.engine.exchange import Exchange, ExchangeState, ProxyRules
from gripproxy.engine.farewells import Farewells
from gripproxy.engine.hold_table import HoldTable
from gripproxy.engine.holds import ResponseHold
from gripproxy.engine.observer import Answer
from gripproxy.engine.pace_switch import PaceSwitch
from gripproxy.engine.rate_budget import RateBoard
from gripproxy.engine.sessions import Sessions
from gripproxy.engine.traffic import RouteTraffic
from gripproxy.engine.updates import BATCH_MAX_COUNT
from gripproxy.engine.web_sockets import WebSockets
from gripproxy.engine.ws_handshake import Handshake
from gripproxy.errors import InternalError
from gripproxy.protocol.last_ids import LastIds
from gripproxy.protocol.origin_request import OriginRequests
from gripproxy.protocol.routes import RouteTable
from gripproxy.protocol.telemetry import Outcome, Traffic
from gripproxy.settings import Settings

REQUESTS, ACTIVITY = int(Traffic.REQUESTS), int(Traffic.ACTIVITY)


class Core:
    """Requests on their way and connections that are held.

    Args:
        now: monotonic seconds; as in every call of `handle`, it never goes back.
        jitter: gives a random number in [0, 1).
        last_ids: of all channels; the bus keeps it up to date.
        rate_board: where workers share `message_rate`.
    """

    def __init__(
        self,
        settings: Settings,
        routes: RouteTable,
        requests: OriginRequests,
        now: float,
        jitter: Callable[[], float],
        last_ids: LastIds,
        rate_board: RateBoard | None = None,
    ) -> None:
        self.accounts = Accounts(now)
        self.holds = HoldTable(now, settings.subscription_linger, jitter, self.accounts)
        self._pace = PaceSwitch(self.holds, rate_board)
        self._pace.use(settings)
        self.exchanges: dict[int, Exchange | Handshake] = {}
        self.sessions = Sessions(
            self.holds,
            requests,
            last_ids,
            self._ask_again,
            jitter,
            settings.connection_subscription_max,
            -(-BATCH_MAX_COUNT // settings.workers),
        )
        self.sockets = WebSockets(
            self.holds, self.sessions.requests, self.sessions.offers.checks, requests, settings, jitter
        )
        self._farewells = Farewells(self.holds, self.sockets, self.sessions.offers.checks)
        self._is_continuing = False  # a `Continue` is on its way
        self._rules = ProxyRules(settings, routes, requests, self.sessions, self.accounts, self.sockets)

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Advance, and say what is to be done.

        Raises:
            InternalError: the event does not fit the state of its connection.
        """
        return _ON[type(event)](self, event, now)

    def traffic_of(self, conn_id: int) -> RouteTraffic | None:
        """Give the traffic of a request's, or a hold's, route; None if the connection has neither."""
        hold = self.holds.holds[conn_id] if conn_id < len(self.holds.holds) else None
        if hold is not None:
            return hold.traffic
        exchange = self.exchanges.get(conn_id)
        return None if exchange is None else exchange.request.traffic

    def use_settings(self, settings: Settings) -> None:
        """Go by other settings from now on; what a hold was told when it began it keeps."""
        self._rules.settings = settings
        self.holds.linger_s = settings.subscription_linger
        self.sessions.channels_max_count = settings.connection_subscription_max
        self.sockets.use_settings(settings)
        self._pace.use(settings)

    @property
    def routes(self) -> RouteTable:
        """Where new requests go."""
        return self._rules.routes

    def replace_routes(self, routes: RouteTable) -> None:
        """Use other routes from the next request on; requests on their way and holds keep theirs."""
        self._rules.routes = routes

    def expect_farewells(self, conn_ids: Collection[int]) -> None:
        """Let the answers to these long-polls, whatever brings them, say that their connections end."""
        self._farewells.expect(conn_ids)

    @property
    def is_full(self) -> bool:
        """Whether so many fan-outs are unfinished that items should wait outside."""
        return self.holds.fan_outs.is_full

    def _on_request(self, event: RequestArrived, now: float) -> list[Effect]:
        if event.conn_id in self.exchanges or self.holds.is_held(event.conn_id):
            raise InternalError(f"connection {event.conn_id} got RequestArrived before its last request was answered")
        request, refusal = admit(event, self._rules)
        conn_id, accounts = event.conn_id, self.accounts
        accounts.traffic.begin(conn_id, request.traffic)
        request.traffic.values[REQUESTS] += 1
        request.traffic.values[ACTIVITY] += 1
        accounts.observer.on_request(conn_id, request)
        if refusal is not None:
            answer = Answer(now)
            answer.note(refusal.status, refusal.respond.payload)
            accounts.observer.on_answer(conn_id, request, Outcome.ANSWERED, answer)
            accounts.end(conn_id, request.traffic)
            return [refusal.respond]
        exchange: Exchange | Handshake
        if request.is_websocket:
            exchange = Handshake(conn_id, request, self._rules, Answer(now), self._on_handshake_closed)
        else:
            exchange = Exchange(conn_id, request, self._rules, event.is_request_done, Answer(now))
        self.exchanges[conn_id] = exchange
        return self._settle(exchange, exchange.start(now))

    def _on_handshake_closed(self, handshake: Handshake) -> None:
        self._settle(handshake, [])

    def _ask_again(self, hold: ResponseHold, now: float) -> list[Effect]:
        """Take up the request of a long-poll again, from the beginning."""
        request, conn_id = hold.request, hold.conn_id
        last_ids = [] if hold.tracking is None else list(hold.tracking.ids.items())
        effects = self.holds.release(conn_id, now, is_over=False)
        request.traffic.values[ACTIVITY] += 1
        exchange = Exchange(conn_id, request, self._rules, True, Answer(now, is_retry=True), last_ids)
        self.exchanges[conn_id] = exchange
        asked = self._settle(exchange, exchange.start(now))
        return [*effects, Unpark(conn_id, request.head, request.body), *asked]

    def _on_origin(self, event: Any, now: float) -> list[Effect]:
        exchange = self.exchanges.get(event.conn_id)
        if exchange is None:
            raise InternalError(f"connection {event.conn_id} without a request got {type(event).__name__}")
        return self._settle(exchange, exchange.handle(event, now))

    def _settle(self, exchange: Exchange | Handshake, effects: list[Effect]) -> list[Effect]:
        if exchange.state is ExchangeState.CLOSED and self.exchanges.get(exchange.conn_id) is exchange:
            conn_id, request, answer = exchange.conn_id, exchange.request, exchange.answer
            del self.exchanges[conn_id]
            outcome = Outcome.HELD
            if not self.holds.is_held(conn_id):
                outcome = Outcome.ANSWERED if answer.status and not exchange.is_broken else Outcome.FAILED
            self.accounts.observer.on_answer(conn_id, request, outcome, answer)
            if outcome is not Outcome.HELD:
                self.accounts.end(conn_id, request.traffic)
        return effects

    def _on_client_gone(self, event: ClientGone, now: float) -> list[Effect]:
        exchange = self.exchanges.pop(event.conn_id, None)
        if exchange is not None:
            request = exchange.request
            self.accounts.observer.on_answer(event.conn_id, request, Outcome.FAILED, exchange.answer)
            self.accounts.end(event.conn_id, request.traffic)
            if isinstance(exchange, Handshake):
                exchange.leave()
        return self.holds.release(event.conn_id, now)

    def _on_frames(self, event: FramesCame, now: float) -> list[Effect]:
        return self.sockets.on_frames(event, now)

    def _on_origin_frames(self, event: OriginFramesCame, now: float) -> list[Effect]:
        return self.sockets.on_origin_frames(event, now)

    def _on_origin_gone(self, event: OriginSocketGone, now: float) -> list[Effect]:
        return self.sockets.on_origin_gone(event, now)

    def _on_reader(self, event: ReaderCaughtUp, now: float) -> list[Effect]:
        return self.sockets.on_reader(event, now)

    def _on_item(self, event: ItemPublished, now: float) -> list[Effect]:
        return self._continue(self.holds.publish(event.item, now))

    def _on_content(self, event: ContentPublished, now: float) -> list[Effect]:
        return self._continue(self.holds.publish_content(event.channel, event.content, now))

    def _on_link(self, event: Any, now: float) -> list[Effect]:
        return self.sessions.requests.handle(event, now)

    def _on_refresh(self, event: RefreshAsked, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for conn_id in event.conn_ids:
            session = self.sockets.session(conn_id)
            if session is not None:
                effects += self.sockets.refresh(session, now)
        for name in event.channels:
            effects += self.sockets.delivery.refresh(name, now)
        return self._continue(effects)

    def _on_stale(self, event: ChannelsStale, now: float) -> list[Effect]:
        return self.sessions.stale(event.names, now)

    def _on_updates_due(self, event: UpdatesDue, now: float) -> list[Effect]:
        return self.sessions.on_updates_due(now)

    def _on_pacing_due(self, event: PacingDue, now: float) -> list[Effect]:
        self.holds.fan_outs.wake()
        return self._continue([])

    def _on_farewell(self, event: FarewellDue, now: float) -> list[Effect]:
        return self._continue(self._farewells.say(event.conn_ids, event.is_last, now))

    def _on_clock(self, event: ClockTicked, now: float) -> list[Effect]:
        self._pace.step()
        return self._continue(self.holds.tick(now))

    def _on_continued(self, event: Continued, now: float) -> list[Effect]:
        self._is_continuing = False
        effects = self.holds.resume(now)
        if self._pace.is_due:
            self._pace.step()
        return self._continue(effects)

    def _continue(self, effects: list[Effect]) -> list[Effect]:
        if self.holds.is_unfinished and not self._is_continuing:
            self._is_continuing = True
            effects.insert(0, Continue())  # first: what fails behind it must not keep the rest from being done
        return effects


_ON: dict[type, Callable[[Core, Any, float], list[Effect]]] = {
    RequestArrived: Core._on_request,
    OriginAnswered: Core._on_origin,
    OriginBodyCollected: Core._on_origin,
    OriginFailed: Core._on_origin,
    RelayDone: Core._on_origin,
    ClientGone: Core._on_client_gone,
    ContentPublished: Core._on_content,
    ItemPublished: Core._on_item,
    LinkAnswered: Core._on_link,
    LinkBodyCame: Core._on_link,
    LinkDone: Core._on_link,
    LinkFailed: Core._on_link,
    FramesCame: Core._on_frames,
    OriginFramesCame: Core._on_origin_frames,
    OriginSocketGone: Core._on_origin_gone,
    ReaderCaughtUp: Core._on_reader,
    RefreshAsked: Core._on_refresh,
    ChannelsStale: Core._on_stale,
    UpdatesDue: Core._on_updates_due,
    PacingDue: Core._on_pacing_due,
    FarewellDue: Core._on_farewell,
    ClockTicked: Core._on_clock,
    Continued: Core._on_continued,
}
