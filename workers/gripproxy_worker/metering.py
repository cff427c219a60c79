"""Bytes by route, counted while somebody wants to know: statistics reports have them.

Sizes of heads are estimates, as in Pushpin: method, target, status and reason, names and values, without separators.
"""

from collections.abc import Collection

from gripproxy.engine.core import Core
from gripproxy.protocol.telemetry import Traffic

_CLIENT_HEAD_IN, _CLIENT_HEAD_OUT = int(Traffic.CLIENT_HEADER_BYTES_RECEIVED), int(Traffic.CLIENT_HEADER_BYTES_SENT)
_CLIENT_BODY_IN, _CLIENT_BODY_OUT = int(Traffic.CLIENT_CONTENT_BYTES_RECEIVED), int(Traffic.CLIENT_CONTENT_BYTES_SENT)
_SERVER_HEAD_IN, _SERVER_HEAD_OUT = int(Traffic.SERVER_HEADER_BYTES_RECEIVED), int(Traffic.SERVER_HEADER_BYTES_SENT)
_SERVER_BODY_IN, _SERVER_BODY_OUT = int(Traffic.SERVER_CONTENT_BYTES_RECEIVED), int(Traffic.SERVER_CONTENT_BYTES_SENT)
_START_LINE_BYTES = 10  # of a start line: its version and two blanks


def head_size(head: bytes) -> int:
    """Estimate the size of an encoded head, with or without its empty line."""
    head = head.rstrip(b"\r\n")
    return max(0, len(head) - _START_LINE_BYTES - 4 * head.count(b"\r\n"))


class Meter:
    """Counts into the routes of the connections that it is told of."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def asked(self, conn_id: int, head: bytes) -> None:
        """A request goes to an origin; what the client's own head has is about the same."""
        values = self._values(conn_id)
        if values is not None:
            size = head_size(head.partition(b"\r\n\r\n")[0])
            values[_SERVER_HEAD_OUT] += size
            exchange = self._core.exchanges.get(conn_id)
            if exchange is not None:
                own = exchange.request.head
                fields = sum(len(name) + len(value) for name, value in own.headers)
                values[_CLIENT_HEAD_IN] += len(own.method) + len(own.target) + fields

    def request_body(self, conn_id: int, size: int) -> None:
        """So much of a request's body came from the client, for the origin."""
        values = self._values(conn_id)
        if values is not None:
            values[_CLIENT_BODY_IN] += size
            values[_SERVER_BODY_OUT] += size

    def origin_head(self, conn_id: int, size: int) -> None:
        """An origin's response head came, by the same estimate."""
        values = self._values(conn_id)
        if values is not None:
            values[_SERVER_HEAD_IN] += size

    def origin_body(self, conn_id: int, size: int) -> None:
        """So much of an origin's response body came."""
        values = self._values(conn_id)
        if values is not None:
            values[_SERVER_BODY_IN] += size

    def sent(self, payload: bytes, conn_ids: Collection[int]) -> None:
        """Each of these gets the payload: a head and what follows it, or a part of a body."""
        head, end, body = payload.partition(b"\r\n\r\n") if payload.startswith(b"HTTP/1.") else (b"", b"", payload)
        head_bytes, body_bytes = head_size(head) if end else 0, len(body)
        for conn_id in conn_ids:
            values = self._values(conn_id)
            if values is not None:
                values[_CLIENT_HEAD_OUT] += head_bytes
                values[_CLIENT_BODY_OUT] += body_bytes

    def _values(self, conn_id: int) -> list[int] | None:
        core = self._core
        hold = core.holds.holds[conn_id] if conn_id < len(core.holds.holds) else None
        if hold is not None:
            return hold.traffic.values
        exchange = core.exchanges.get(conn_id)
        return core.accounts.traffic.of("").values if exchange is None else exchange.request.traffic.values
