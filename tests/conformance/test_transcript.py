"""The normaliser must hide where chunks and frames are cut and nothing else, or the comparison would prove nothing."""

import jwt
import pytest

from tests.conformance.frames import BINARY, CLOSE, CONTINUATION, PING, TEXT, closing, frame, readable_frames
from tests.conformance.transcript import (
    EVENTS_TYPE,
    is_of_another_session,
    methods_in,
    readable,
    readable_request,
    with_short_ids,
)
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


def test_frame_boundaries_are_hidden() -> None:
    """A message in one frame reads as one in two; a control frame between them comes before it."""
    whole = frame(TEXT, b"one two") + frame(PING, b"p")
    cut = frame(TEXT, b"one ", is_final=False) + frame(PING, b"p") + frame(CONTINUATION, b"two")
    assert readable_frames(whole) == b"<text one two>\n<ping p>\n"
    assert readable_frames(cut) == b"<ping p>\n<text one two>\n"


def test_what_is_odd_about_frames_shows() -> None:
    """Messages without an end, wrong masks, reserved bits, frames out of place, and half a frame."""
    assert readable_frames(frame(TEXT, b"one ", is_final=False)) == b"<text one ...>\n"
    assert readable_frames(frame(BINARY, b"x", is_masked=True)) == b"<binary masked x>\n"
    assert readable_frames(frame(BINARY, b"x"), is_from_client=True) == b"<binary unmasked x>\n"
    assert readable_frames(frame(TEXT, b"x", bits=4)) == b"<text bits=4 x>\n"
    assert readable_frames(frame(CONTINUATION, b"x")) == b"<continuation out of place x>\n"
    assert readable_frames(frame(3, b"x")) == b"<opcode 3 out of place x>\n"
    assert readable_frames(frame(TEXT, b"x" * 70_000)) == b"<text 70000 bytes: xxxxxxxxxx...xxxxxxxxxx>\n"
    assert readable_frames(frame(CLOSE, closing(1000, b"bye")) + b"\x81\x05ab") == b"<close 1000 bye>\n\x81\x05ab"


def test_ids_of_sessions_are_numbered() -> None:
    """They are random, but which requests have the same one is not."""
    one, two = "01234567-89ab-4cde-8f01-23456789abcd", "11234567-89ab-4cde-8f01-23456789abcd"
    texts = [f"POST\nConnection-Id: {each}\n" for each in (one, two, one)]
    assert with_short_ids(texts) == [f"POST\nConnection-Id: <id {number}>\n" for number in (1, 2, 1)]
    assert with_short_ids(["Connection-Id: mine\n"]) == ["Connection-Id: mine\n"]


def test_last_words_of_another_session_are_left_out() -> None:
    """Those of a session that was opened in the same play are not."""
    headers = [("Content-Type", EVENTS_TYPE), ("Connection-Id", "1")]
    opening = OriginRequest("POST", "/", "HTTP/1.1", headers, b"OPEN\r\n")
    ending = OriginRequest("POST", "/", "HTTP/1.1", headers, b"DISCONNECT\r\n")
    assert is_of_another_session(ending, [ending])
    assert not is_of_another_session(ending, [opening, ending])
