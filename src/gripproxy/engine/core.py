"""The brain of a worker: events in, effects out. It knows no socket and no clock."""

from collections.abc import Callable
from typing import Any

from gripproxy.engine.effects import Continue, Effect
from gripproxy.engine.events import (
    ClientGone,
    ClockTicked,
    ContentPublished,
    Continued,
    Event,
    ItemPublished,
    OriginAnswered,
    OriginBodyCollected,
    OriginFailed,
    RelayDone,
    RequestArrived,
)
from gripproxy.engine.exchange import Exchange, ExchangeState, ProxyRules
from gripproxy.engine.hold_table import HoldTable
from gripproxy.errors import InternalError
from gripproxy.protocol.origin_request import OriginRequests
from gripproxy.protocol.routes import RouteTable
from gripproxy.settings import Settings


class Core:
    """Requests on their way and connections that are held.

    Args:
        now: monotonic seconds; as in every call of `handle`, it never goes back.
        jitter: gives a random number in [0, 1).
    """

    def __init__(
        self,
        settings: Settings,
        routes: RouteTable,
        requests: OriginRequests,
        now: float,
        jitter: Callable[[], float],
    ) -> None:
        self.holds = HoldTable(now, settings.subscription_linger, jitter)
        self.exchanges: dict[int, Exchange] = {}
        self._is_continuing = False  # a `Continue` is on its way
        self._rules = ProxyRules(settings, routes, requests, self.holds)

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Advance, and say what is to be done.

        Raises:
            InternalError: the event does not fit the state of its connection.
        """
        return _ON[type(event)](self, event, now)

    def replace_routes(self, routes: RouteTable) -> None:
        """Use other routes from the next request on; requests on their way and holds keep theirs."""
        self._rules.routes = routes

    @property
    def is_full(self) -> bool:
        """Whether so many fan-outs are unfinished that items should wait outside."""
        return self.holds.fan_outs.is_full

    def _on_request(self, event: RequestArrived, now: float) -> list[Effect]:
        if event.conn_id in self.exchanges or self.holds.is_held(event.conn_id):
            raise InternalError(f"connection {event.conn_id} got RequestArrived before its last request was answered")
        exchange = Exchange(event, self._rules)
        self.exchanges[event.conn_id] = exchange
        return self._settle(exchange, exchange.start(now))

    def _on_origin(self, event: Any, now: float) -> list[Effect]:
        exchange = self.exchanges.get(event.conn_id)
        if exchange is None:
            raise InternalError(f"connection {event.conn_id} without a request got {type(event).__name__}")
        return self._settle(exchange, exchange.handle(event, now))

    def _settle(self, exchange: Exchange, effects: list[Effect]) -> list[Effect]:
        if exchange.state is ExchangeState.CLOSED:
            del self.exchanges[exchange.conn_id]
        return effects

    def _on_client_gone(self, event: ClientGone, now: float) -> list[Effect]:
        self.exchanges.pop(event.conn_id, None)
        return self.holds.release(event.conn_id, now)

    def _on_item(self, event: ItemPublished, now: float) -> list[Effect]:
        return self._continue(self.holds.publish(event.item, now))

    def _on_content(self, event: ContentPublished, now: float) -> list[Effect]:
        return self._continue(self.holds.publish_content(event.channel, event.content, now))

    def _on_clock(self, event: ClockTicked, now: float) -> list[Effect]:
        return self._continue(self.holds.tick(now))

    def _on_continued(self, event: Continued, now: float) -> list[Effect]:
        self._is_continuing = False
        return self._continue(self.holds.resume(now))

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
    ClockTicked: Core._on_clock,
    Continued: Core._on_continued,
}
