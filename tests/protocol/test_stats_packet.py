"""Packets of the stats socket, byte by byte where a monitor would notice."""

import json

import pytest

from gripproxy.protocol.stats_packet import KINDS, StatsPackets
from gripproxy.protocol.telemetry import ConnEndRecord, ConnRecord, Traffic
from gripproxy.protocol.tnetstring import decode

TNETSTRING, JSON = StatsPackets("gripproxy_12", is_json=False), StatsPackets("gripproxy_12", is_json=True)
CONN = ConnRecord("0-a-1", "http", "::1", is_tls=False, route="")
BYTE_FIELDS = [
    f"{side}-{part}-{direction}"
    for side in ("client", "server")
    for part in ("header-bytes", "content-bytes", "messages")
    for direction in ("received", "sent")
]


def fields_of(packet: bytes) -> tuple[str, dict[str, object]]:
    kind, _, body = packet.decode().partition(" ")
    assert body.startswith("J")
    fields = json.loads(body[1:])
    assert fields.pop("from") == "gripproxy_12"
    return kind, fields


def test_tnetstring_has_the_types_that_monitors_expect() -> None:
    """Texts are strings, numbers numbers and flags flags: a monitor compares them."""
    packet = TNETSTRING.sub("stream", "news", 1, 60)
    assert packet.startswith(b"sub T")
    assert packet.endswith(b",}")
    for part in (b"4:mode,6:stream,", b"7:channel,4:news,", b"3:ttl,2:60#", b"11:subscribers,1:1#", b"4:from,12:gripp"):
        assert part in packet
    gone = TNETSTRING.sub("stream", "news", 0, 60)
    assert b"11:unavailable,4:true!" in gone
    assert decode(gone[5:]) == {"mode": b"stream", "channel": b"news", "unavailable": True, "from": b"gripproxy_12"}


def test_json_is_compact_and_sorted() -> None:
    """As the reference writes it, to the byte."""
    expected = b'conn J{"from":"gripproxy_12","id":"0-a-1","peer-address":"::1","ttl":120,"type":"http"}'
    assert JSON.conn(CONN, 120) == expected
    assert JSON.conn_end(ConnEndRecord("0-a-1", "")) == b'conn J{"from":"gripproxy_12","id":"0-a-1","unavailable":true}'


def test_conn_names_tls_and_route_only_where_there_is_one() -> None:
    """A missing key is how the reference says no."""
    _, fields = fields_of(JSON.conn(ConnRecord("0-a-1", "ws", "::1", is_tls=True, route="main"), 120))
    assert (fields["ssl"], fields["route"], fields["type"]) == (True, "main", "ws")
    assert fields_of(JSON.conn_end(ConnEndRecord("0-a-1", "main")))[1]["route"] == "main"
    assert not {"ssl", "route"} & fields_of(JSON.conn(CONN, 120))[1].keys()


def test_activity_is_told_by_route_and_counts_for_all() -> None:
    """Both come in one batch, but the number of requests is the server's."""
    assert fields_of(JSON.activity(3, "")) == ("activity", {"count": 3})
    assert fields_of(JSON.activity(3, "main")) == ("activity", {"count": 3, "route": "main"})
    assert fields_of(JSON.counts(2)) == ("counts", {"requests-received": 2})


def test_message_has_id_and_blocks_only_if_known() -> None:
    """An item without an id, on a server that counts no blocks."""
    plain = {"channel": "c", "transport": "http-stream", "count": 5}
    assert fields_of(JSON.message("c", None, "http-stream", 5, None)) == ("message", plain)
    assert fields_of(JSON.message("c", "1", "http-stream", 5, 10))[1] == plain | {"item-id": "1", "blocks": 10}


def test_report_has_every_field() -> None:
    """Monitors add them up without asking whether they are there."""
    interval = list(range(100, 100 + len(Traffic)))
    kind, fields = fields_of(JSON.report("main", interval, {"received": 7, "blocks-received": 9}, 10_001))
    assert kind == "report"
    assert [fields.pop(name) for name in BYTE_FIELDS] == interval[Traffic.CLIENT_HEADER_BYTES_RECEIVED :]
    assert fields == {
        "route": "main",
        "connections": 101,
        "minutes": 103,
        "received": 7,
        "blocks-received": 9,
        "sent": 105,
        "http-response-sent": 106,
        "blocks-sent": 107,
        "duration": 10_001,
    }


def test_report_without_blocks_lacks_their_field() -> None:
    """Without `message_block_size` nobody counts them; with it, a quiet interval has none either."""
    assert "blocks-sent" not in fields_of(JSON.report("", [0] * len(Traffic), {}, 1))[1]


@pytest.mark.parametrize("packets", [TNETSTRING, JSON], ids=["tnetstring", "json"])
def test_names_that_utf8_cannot_say_are_told_with_a_replacement(packets: StatsPackets) -> None:
    """An instruct in JSON may name half a surrogate pair, and must not stop the statistics."""
    packet = packets.sub("stream", "a\ud800b\u00e9", 1, 60)
    assert "a\ufffdb\u00e9".encode() in packet


def test_kinds_are_all_that_there_are() -> None:
    """The socket compares subscriptions with these."""
    packets = [
        JSON.activity(1, ""),
        JSON.counts(1),
        JSON.message("c", None, "http-stream", 1, None),
        JSON.conn(CONN, 1),
        JSON.sub("stream", "c", 1, 1),
        JSON.report("", [0] * len(Traffic), {}, 1),
    ]
    assert tuple(packet.split(b" ")[0].decode() for packet in packets) == KINDS
