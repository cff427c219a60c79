"""Records on their way from worker to hub."""

import pytest

from gripproxy.errors import InternalError
from gripproxy.protocol.telemetry import (
    HoldRecord,
    LiveConnsRecord,
    ReceiptRecord,
    Record,
    RequestRecord,
    TrafficRecord,
    decode_records,
    encode_records,
)

RECORDS: list[Record] = [
    RequestRecord(1.5, "0-9-1", "::1", "GET", "http://h/x", "r", "h:80", 200, 0, 5, 0.25, True, "", "", [["c", "1"]]),
    HoldRecord(1.5, "0-9-1", "http://h/\udc80", "", "stream", ["a", "b\udfff"]),
    TrafficRecord(1, 77, {"": [1, 2, 3], "r": [0] * 20}),
    ReceiptRecord(0, 2**40, 0, 3, 0, 1, 1, 1),
    LiveConnsRecord(3, 9, ["0-9-1"]),
]


def test_records_arrive_as_they_were_sent() -> None:
    """All kinds in one message, half surrogates included."""
    assert decode_records(encode_records(RECORDS)) == RECORDS
    assert decode_records(encode_records([])) == []


@pytest.mark.parametrize(
    "message", [b"", b"\xc1", b"\x91\x91\x63", b"\x91\x92\x00\x01", b"\x01", encode_records(RECORDS)[:-1]]
)
def test_damaged_message_is_refused(message: bytes) -> None:
    """It costs no more than itself."""
    with pytest.raises(InternalError):
        decode_records(message)
