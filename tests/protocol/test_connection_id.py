"""Ids of WebSocket connections: UUIDs to the origin, places in a worker to us."""

from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.protocol.connection_id import ConnectionIds, worker_of


@given(
    worker_index=st.integers(0, 1023),
    salt=st.integers(0, 2**64),
    conn_id=st.integers(0, 2**24 - 1),
    serial=st.integers(0, 2**48 - 1),
)
def test_id_is_a_uuid_and_says_whose_it_is(worker_index: int, salt: int, conn_id: int, serial: int) -> None:
    """Origins may parse it; commands find the connection by it, without a table."""
    ids = ConnectionIds(worker_index, salt)
    text = ids.encode(conn_id, serial)
    parsed = UUID(text)
    assert (str(parsed), parsed.version, parsed.variant) == (text, 4, RFC_4122)
    assert ids.decode(text) == (conn_id, serial)
    assert worker_of(text) == worker_index


def test_ids_of_others_are_nobodys() -> None:
    """An earlier process of the same worker, or another host, has another salt."""
    text = ConnectionIds(3, 1).encode(5, 6)
    assert ConnectionIds(3, 2).decode(text) is None
    assert ConnectionIds(4, 1).decode(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0-5-6",
        "x" * 36,
        "-" * 36,
        "00000000-0000-4000-8000-00000000000\u0663",
        "00000000-0000-4000-8000-0000000000000",
        " 0000000-0000-4000-8000-000000000000",
        "00000000+0000-4000-8000-000000000000",
    ],
)
def test_what_is_no_uuid_is_no_id(text: str) -> None:
    """Operators mistype."""
    assert worker_of(text) is None
    assert ConnectionIds(0, 0).decode(text) is None


def test_other_spellings_are_no_ids() -> None:
    """One connection has one id: who compares them as text must not be surprised."""
    ids = ConnectionIds(0, 0xABCDEF)
    text = ids.encode(10, 11)
    assert ids.decode(text) == (10, 11)
    assert ids.decode(text.upper()) is None
    assert ids.decode(text[:14] + "1" + text[15:]) is None
    assert ids.decode(text.replace("-", "")) is None
