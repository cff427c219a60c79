"""The normaliser must hide chunk boundaries and nothing else, or the comparison would prove nothing."""

import jwt
import pytest

from tests.conformance.transcript import methods_in, readable, readable_request
from tests.integration.origin import OriginRequest

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_chunk_boundaries_are_hidden() -> None:
    """One chunk of four bytes reads as two of two."""
    one, two = CHUNKED + b"4\r\nabcd\r\n0\r\n\r\n", CHUNKED + b"2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n"
    assert readable(one, ["GET"]) == readable(two, ["GET"]) == CHUNKED + b"abcd<last chunk>"


def test_missing_last_chunk_shows() -> None:
    """A body that was cut is not taken for a whole one."""
    assert readable(CHUNKED + b"4\r\nabcd\r\n", ["GET"]) == CHUNKED + b"abcd"


def test_bytes_that_are_no_chunk_show() -> None:
    """A broken frame is not swallowed."""
    assert readable(CHUNKED + b"4\r\nabcd\r\nzz\r\n", ["GET"]) == CHUNKED + b"abcdzz\r\n"


def test_body_of_a_head_answer_shows() -> None:
    """An answer to HEAD has no body, and one that has is seen to have one."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
    assert readable(head + PLAIN, ["HEAD", "GET"]) == head + PLAIN
    assert readable(head + b"ok" + CHUNKED + b"0\r\n\r\n", ["HEAD", "GET"]) == head + b"ok" + CHUNKED + b"<last chunk>"


def test_interim_answer_takes_no_request() -> None:
    """100 Continue comes before the answer to the same request."""
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    assert readable(interim + PLAIN + CHUNKED + b"1\r\nx\r\n", ["POST", "GET"]) == interim + PLAIN + CHUNKED + b"x"


def test_half_a_head_shows() -> None:
    """What has come of an answer is compared too."""
    assert readable(PLAIN + b"HTTP/1.1 2", ["GET", "GET"]) == PLAIN + b"HTTP/1.1 2"


def test_free_framing_hides_the_framing_headers() -> None:
    """Where timing decides between length and chunks, the body still counts."""
    chunked = (
        b"HTTP/1.1 200 OK\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    )
    assert readable(chunked, ["GET"], is_framing_free=True) == readable(PLAIN, ["GET"], is_framing_free=True)


def test_methods_are_found_in_pipelined_requests() -> None:
    """The normaliser must know which answer belongs to a HEAD."""
    assert methods_in(b"HEAD /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.0\r\n\r\n") == ["HEAD", "GET"]


def test_forged_signature_is_refused() -> None:
    """The token in Grip-Sig is left out of the comparison, so it must be checked."""
    request = OriginRequest("GET", "/", "HTTP/1.1", [("Grip-Sig", "eyJhbGciOiJub25lIn0.e30.")])
    with pytest.raises(jwt.InvalidTokenError):
        readable_request(request)
