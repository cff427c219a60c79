"""From an item to the end of a hold: what those whose wait is over get."""

import pytest

from gripproxy.engine import delivery
from gripproxy.engine.delivery import answer_responses, end_streams, merge_headers
from gripproxy.engine.effects import Finish
from gripproxy.engine.holds import ResponseHold, StreamHold, StreamShapes
from gripproxy.protocol.http1 import Headers, RequestHead
from gripproxy.protocol.publish_format import HttpResponseFormat
from tests.engine.conversation import client, request

SHAPES = StreamShapes()


def long_poll(conn_id: int, head: RequestHead | None = None, headers: Headers | None = None) -> ResponseHold:
    return ResponseHold(conn_id, (), client(head), 200, b"OK", headers or [], b"nothing new")


def stream(conn_id: int, is_chunked: bool = True, is_persistent: bool = True) -> StreamHold:
    return StreamHold(conn_id, SHAPES.shape(is_chunked, is_persistent, False, b"", 0, False), ())


def test_close_ends_each_stream_its_own_way() -> None:
    """A chunked body has a last chunk and its connection lives on; without chunks the connection is the body's end."""
    effects = end_streams([stream(1), stream(2, is_persistent=False), stream(3, False, False), stream(4)])
    assert effects == [
        Finish(b"0\r\n\r\n", [1, 4], True),
        Finish(b"0\r\n\r\n", [2], False),
        Finish(b"", [3], False),
    ]


def test_published_response_replaces_the_held_one() -> None:
    """The example of the reference's documentation, byte for byte."""
    published = HttpResponseFormat(code=202, headers=[(b"X-P", b"1"), (b"x-extra", b"new")], body=b"pubbed\n")
    held = long_poll(7, headers=[(b"Content-Type", b"text/plain"), (b"X-Extra", b"yes")])
    payload = (
        b"HTTP/1.1 202 Accepted\r\nContent-Type: text/plain\r\nX-P: 1\r\nx-extra: new\r\n"
        b"Content-Length: 7\r\n\r\npubbed\n"
    )
    assert answer_responses([held], published) == [Finish(payload, [7], True, True)]


def test_published_reason_wins_over_the_standard_phrase() -> None:
    """A publisher may say it in its own words."""
    (effect,) = answer_responses([long_poll(1)], HttpResponseFormat(code=200, reason=b"Fine"))
    assert isinstance(effect, Finish)
    assert effect.payload.startswith(b"HTTP/1.1 200 Fine\r\n")


def test_clients_that_get_the_same_bytes_are_one_effect() -> None:
    """Ten thousand long-polls are ten thousand writes, not ten thousand answers to make."""
    closing = request(is_keep_alive=False)
    old = request(is_http11=False, is_keep_alive=False)
    holds = [long_poll(1), long_poll(2, closing), long_poll(3), long_poll(4, old), long_poll(5, headers=[(b"A", b"b")])]
    effects = answer_responses(holds, HttpResponseFormat(body=b"x"))
    assert effects == [
        Finish(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", [1, 3], True, True),
        Finish(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", [2], False, True),
        Finish(b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", [4], False, True),
        Finish(b"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 1\r\n\r\nx", [5], True, True),
    ]


def test_held_head_request_gets_no_body() -> None:
    """The body would be read as the next response. (The reference sends it.)"""
    effects = answer_responses([long_poll(1, request(method=b"HEAD")), long_poll(2)], HttpResponseFormat(body=b"x"))
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"
    assert effects == [Finish(head, [1], True, True), Finish(head + b"x", [2], True, True)]


@pytest.mark.parametrize("code", [204, 304])
def test_bodiless_status_has_no_body_whatever_was_published(code: int) -> None:
    """204 and 304 end with their head."""
    (effect,) = answer_responses([long_poll(1)], HttpResponseFormat(code=code, body=b"x"))
    assert isinstance(effect, Finish)
    assert effect.payload.endswith(b"\r\n\r\n")
    assert b"Content-Length" not in effect.payload


@pytest.mark.parametrize(
    ("held", "published", "merged"),
    [
        ([(b"A", b"1")], [], [(b"A", b"1")]),
        ([(b"A", b"1"), (b"B", b"2")], [(b"a", b"3")], [(b"B", b"2"), (b"a", b"3")]),
        ([(b"A", b"1"), (b"A", b"2")], [], [(b"A", b"1"), (b"A", b"2")]),
        ([], [(b"B", b"3"), (b"B", b"4")], [(b"B", b"3"), (b"B", b"4")]),
        ([(b"A", b"1")], [(b"Content-Length", b"9"), (b"Transfer-Encoding", b"chunked")], [(b"A", b"1")]),
        ([(b"A", b"1")], [(b"Connection", b"close"), (b"B", b"2")], [(b"A", b"1"), (b"B", b"2")]),
        ([(b"A", b"1")], [(b"Grip-Hold", b"stream"), (b"grip-x", b"2")], [(b"A", b"1")]),
        ([(b"A", b"1"), (b"B", b"2")], [(b"Grip-Expose-Headers", b"a, C"), (b"C", b"3")], [(b"B", b"2")]),
    ],
)
def test_headers_are_merged(held: Headers, published: Headers, merged: Headers) -> None:
    """Publishers name what they replace; framing is ours alone, and Grip headers are for us."""
    assert merge_headers(held, published) == merged


def test_holds_of_later_slices_get_the_same_patched_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """A patch of the body that all of them hold is made once."""
    made: list[bytes] = []

    def patch(body: bytes, operations: list[object]) -> bytes:
        made.append(body)
        return b"patched"

    monkeypatch.setattr(delivery, "apply_patch", patch)
    published = HttpResponseFormat(body_patch=[])
    payloads: delivery.Payloads = {}
    for conn_id in range(3):
        (effect,) = answer_responses([long_poll(conn_id)], published, payloads)
        assert isinstance(effect, Finish) and effect.payload.endswith(b"patched")
    assert len(made) == 1


def test_answers_are_not_all_kept_for_later_slices() -> None:
    """Holds that all get something else would fill the memory."""
    payloads: delivery.Payloads = {}
    for conn_id in range(10 * delivery.PAYLOADS_MAX_COUNT):
        held = long_poll(conn_id)
        held.body = b'{"user":%d}' % conn_id
        answer_responses([held], HttpResponseFormat(body_patch=[]), payloads)
        assert len(payloads) <= delivery.PAYLOADS_MAX_COUNT + 1
