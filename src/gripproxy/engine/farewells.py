"""Holds that end because this process stops: as truthfully as each can, so that their clients come back elsewhere."""

from collections.abc import Collection

from gripproxy.engine.delivery import end_streams
from gripproxy.engine.effects import Cut, Effect, Finish
from gripproxy.engine.filter_checks import FilterChecks
from gripproxy.engine.hold_table import HoldTable, time_out
from gripproxy.engine.holds import FETCHING, RECEIVING, ResponseHold, StreamHold, TrackedStream
from gripproxy.engine.web_sockets import WebSockets
from gripproxy.engine.ws_session import WsSession


class Farewells:
    """Says them. Nobody is told why: to a client it is what the end of a hold always looks like."""

    def __init__(self, holds: HoldTable, sockets: WebSockets, checks: FilterChecks) -> None:
        self._holds = holds
        self._sockets = sockets
        self._checks = checks

    def expect(self, conn_ids: Collection[int]) -> None:
        """Let the answers to these long-polls, whatever brings them, say that their connections end."""
        for conn_id in conn_ids:
            hold = self._holds.holds[conn_id] if self._holds.is_held(conn_id) else None
            if isinstance(hold, ResponseHold):
                hold.request.head.is_keep_alive = False

    def say(self, conn_ids: Collection[int], is_last: bool, now: float) -> list[Effect]:
        """End these holds; what is no hold any more is no error.

        Streams whose next part is on its way, and holds whose item is being filtered, stay until that is over. With
        `is_last` they do not: then a response that would not be whole is cut off.
        """
        holds = self._holds
        effects = holds.fan_outs.catch_up(conn_ids, now)
        streams: list[StreamHold] = []
        finished: list[Effect] = []
        for conn_id in conn_ids:
            hold = holds.holds[conn_id] if holds.is_held(conn_id) else None
            if hold is None or (conn_id in self._checks and not is_last):
                continue
            if isinstance(hold, WsSession):
                effects += self._sockets.go_away(hold, now)
            elif isinstance(hold, ResponseHold):
                hold.request.head.is_keep_alive = False
                finished.append(time_out(hold))
            elif not (isinstance(hold, TrackedStream) and hold.state in (FETCHING, RECEIVING)):
                streams.append(hold)
            elif is_last:
                effects.append(Cut(conn_id))
        for ended in end_streams(streams):
            assert isinstance(ended, Finish)
            ended.is_persistent = False
            finished.append(ended)
        return effects + finished + holds.release_all(finished, now)
