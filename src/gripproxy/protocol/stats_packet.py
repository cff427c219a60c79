"""Packets of the stats socket: what monitors of GRIP proxies read, in tnetstring or JSON.

A packet is one frame: its type, a blank, ``T`` or ``J``, and a map. Source: Pushpin's stats socket, field by field.
"""

import re
from collections.abc import Callable, Sequence

import orjson

from gripproxy.protocol.telemetry import ConnEndRecord, ConnRecord, Traffic
from gripproxy.protocol.tnetstring import encode

KINDS = ("activity", "counts", "message", "conn", "sub", "report")
Fields = dict[str, str | int | bool]

_HALF_PAIR = re.compile("[\ud800-\udfff]")
_BYTES_FROM = Traffic.CLIENT_HEADER_BYTES_RECEIVED
# Columns of the same name in both, from the first that counts bytes.
_BYTE_FIELDS = [(column.name.lower().replace("_", "-"), column) for column in Traffic if column >= _BYTES_FROM]


class StatsPackets:
    """Makes packets that say that they are from `sender`, an instance's name, as JSON or tnetstring."""

    def __init__(self, sender: str, is_json: bool) -> None:
        self._sender: Fields = {"from": sender}
        self._encode: Callable[[Fields], bytes] = _encode_json if is_json else _encode_tnetstring

    def conn(self, record: ConnRecord, ttl_s: int) -> bytes:
        """Tell of a connection, for the first time or again."""
        fields: Fields = {"id": record.id, "type": record.type, "peer-address": record.peer_address, "ttl": ttl_s}
        if record.is_tls:
            fields["ssl"] = True
        return self._pack("conn", fields, record.route)

    def conn_end(self, record: ConnEndRecord) -> bytes:
        return self._pack("conn", {"id": record.id, "unavailable": True}, record.route)

    def sub(self, mode: str, channel: str, subscribers_count: int, ttl_s: int) -> bytes:
        """Tell of a channel's subscribers; without any, that it has none any more."""
        fields: Fields = {"mode": mode, "channel": channel}
        fields |= {"ttl": ttl_s, "subscribers": subscribers_count} if subscribers_count else {"unavailable": True}
        return self._pack("sub", fields)

    def activity(self, count: int, route: str) -> bytes:
        return self._pack("activity", {"count": count}, route)

    def counts(self, requests_count: int) -> bytes:
        return self._pack("counts", {"requests-received": requests_count})

    def message(
        self, channel: str, item_id: str | None, transport: str, receivers_count: int, blocks_count: int | None
    ) -> bytes:
        """Tell how many receivers an item found by one of its formats. `blocks_count`: to all of them."""
        fields: Fields = {"channel": channel, "transport": transport, "count": receivers_count}
        if item_id is not None:
            fields["item-id"] = item_id
        if blocks_count is not None:
            fields["blocks"] = blocks_count
        return self._pack("message", fields)

    def report(self, route: str, interval: Sequence[int], received: Fields, duration_ms: int) -> bytes:
        """Tell what a route did in an interval.

        Args:
            interval: by `Traffic`; of CONNECTIONS_MAX the maximum, of all from MINUTES on the difference.
            received: the fields that the hub counts, ``received`` and maybe ``blocks-received``.
            duration_ms: the interval's length.
        """
        fields: Fields = {
            "connections": interval[Traffic.CONNECTIONS_MAX],
            "minutes": interval[Traffic.MINUTES],
            "received": 0,
            "sent": interval[Traffic.SENT],
            "http-response-sent": interval[Traffic.RESPONSES_SENT],
            "duration": duration_ms,
        }
        if interval[Traffic.BLOCKS_SENT]:
            fields["blocks-sent"] = interval[Traffic.BLOCKS_SENT]
        for name, column in _BYTE_FIELDS:
            fields[name] = interval[column]
        return self._pack("report", fields | received, route)

    def _pack(self, kind: str, fields: Fields, route: str = "") -> bytes:
        if route:
            fields["route"] = route
        return b"%s %s" % (kind.encode(), self._encode(fields | self._sender))


def _encode_tnetstring(fields: Fields) -> bytes:
    try:
        return b"T" + encode(fields)
    except UnicodeEncodeError:
        return b"T" + encode(_without_halves(fields))


def _encode_json(fields: Fields) -> bytes:
    try:
        return b"J" + orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)
    except (TypeError, ValueError):  # orjson's word for half a surrogate pair
        return b"J" + orjson.dumps(_without_halves(fields), option=orjson.OPT_SORT_KEYS)


def _without_halves(fields: Fields) -> Fields:
    """Put U+FFFD where an instruct's JSON named half a surrogate pair, which UTF-8 cannot say."""
    return {
        name: _HALF_PAIR.sub("\ufffd", value) if isinstance(value, str) else value for name, value in fields.items()
    }
