"""A request's body: its content comes out once and whole, and no more of it than is allowed."""

import pytest

from gripproxy.errors import ClientError
from gripproxy_worker.request_body import RequestBody
from gripproxy_worker.request_reader import ChunkedBody, read_head


def chunked() -> ChunkedBody:
    decoder = read_head(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked")[1]
    assert decoder is not None
    return decoder


def test_sized_body_ends_at_its_length() -> None:
    """What follows is the next request's."""
    body = RequestBody(5, None, 0)
    assert body.take(b"abc") == (b"abc", b"")
    assert not body.is_complete
    assert body.take(b"deGET") == (b"de", b"GET")
    assert body.is_complete
    assert body.encode(b"de") == b"de"


def test_chunked_body_is_framed_anew() -> None:
    """Chunks that came together are one; the last one is said once."""
    body = RequestBody(0, chunked(), 0)
    assert body.take(b"1;x\r\na\r\n1\r\nb\r\n") == (b"ab", b"")
    assert body.encode(b"ab") == b"2\r\nab\r\n"
    assert body.take(b"0\r\nT: r\r\n") == (b"", b"")
    assert body.encode(b"") == b""
    assert body.take(b"\r\nGET") == (b"", b"GET")
    assert (body.is_complete, body.encode(b"")) == (True, b"0\r\n\r\n")


def test_length_beyond_the_limit_is_refused_at_once() -> None:
    """Before any of it has come."""
    RequestBody(10, None, 10)
    with pytest.raises(ClientError, match="exceeded limit of 10 bytes") as caught:
        RequestBody(11, None, 10)
    assert caught.value.status == 413


def test_chunks_beyond_the_limit_are_refused_when_they_come() -> None:
    """All of them count together."""
    body = RequestBody(0, chunked(), 3)
    body.take(b"2\r\nab\r\n1\r\nc\r\n")
    with pytest.raises(ClientError, match="exceeded limit of 3 bytes"):
        body.take(b"1\r\nd\r\n")
