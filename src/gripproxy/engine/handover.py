"""The engine's part in handing connections to another worker, which goes on with them: see `departures`, `arrivals`.

Items reach each connection in their order, once, if both workers stand at the same position of the bus meanwhile.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from gripproxy.engine.core import Core
from gripproxy.engine.effects import Effect
from gripproxy.engine.ws_session import OPEN, WsSession
from gripproxy.protocol.handed_batch import HandedKind


@dataclass(slots=True)
class SocketTerms:
    """What a worker has to know of a WebSocket client that it takes over: see `OpenSocket`."""

    is_deflating: bool
    message_max_bytes: int
    has_origin: bool


def kind_of(record: Sequence[Any]) -> HandedKind:
    """Say what a connection is that was packed."""
    return HandedKind(record[0])


def socket_terms(core: Core, conn_id: int) -> SocketTerms | None:
    """Give a WebSocket client's terms; None if the connection is none."""
    session = core.sockets.session(conn_id)
    return None if session is None else _terms_of(core, session)


def _terms_of(core: Core, session: WsSession) -> SocketTerms:
    shape = session.shape
    has_origin = session.state is OPEN and session.origin is None and not shape.target.is_test
    return SocketTerms(shape.is_deflating, core.sockets.message_max_bytes(session), has_origin)


def catch_up(core: Core, conn_ids: Collection[int], now: float) -> list[Effect]:
    """Send these connections at once all that they are still due of items that came before."""
    return core.holds.fan_outs.catch_up(conn_ids, now)


def pack_lingering(core: Core, now: float) -> list[tuple[str, float]]:
    """Give the channels that wait for their last long-poll to come back, as plain values, with the seconds left."""
    holds = core.holds
    lingering = [(channel.name, holds.wheel.left_s(channel, now)) for channel in holds.subscriptions.channels.values()]
    return [(name, left_s) for name, left_s in lingering if left_s is not None]


def install_lingering(core: Core, packed: Sequence[tuple[str, float]], now: float) -> list[Effect]:
    """Let these channels wait here: the client that is about to come back comes to this worker."""
    effects: list[Effect] = []
    for name, left_s in packed:
        effects += core.holds.take_over_linger(name, left_s, now)
    return effects
