"""Answers of the control port: paths, methods, the Accept rule, and the exact bytes."""

import pytest

from gripproxy.bus.control_answer import ControlAnswer, answer_error, decide, encode_answer
from gripproxy.bus.control_request import ControlRequest, ControlRequestError

ITEM = b'{"items":[{"channel":"news","http-stream":{"content":"hi"}}]}'


def ask(method: bytes, target: bytes, body: bytes = b"", accept: bytes | None = None) -> ControlAnswer:
    return decide(ControlRequest(method, target, accept, body)).answer


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "text"),
    [
        (b"GET", b"/", b"", 200, b"Pushpin API\n"),
        (b"POST", b"/", b"", 200, b"Pushpin API\n"),
        (b"POST", b"/publish", ITEM, 200, b"Published\n"),
        (b"POST", b"/publish/", ITEM, 200, b"Published\n"),
        (b"POST", b"/publish/", b'{"items":[]}', 200, b"Published\n"),
        (b"POST", b"/recover/", b"", 200, b"Updated\n"),
        (b"POST", b"/publish//", ITEM, 404, b"Not Found\n"),
        (b"POST", b"/publish/?x=1", ITEM, 404, b"Not Found\n"),
        (b"POST", b"//", b"", 200, b"Pushpin API\n"),
        (b"GET", b"/else", b"", 404, b"Not Found\n"),
        (b"GET", b"/publish/", b"", 405, b"Method not allowed: GET.\n"),
        (b"PUT", b"/recover", b"", 405, b"Method not allowed: PUT.\n"),
        (b"POST", b"/publish", b"", 400, b"Body is not valid JSON.\n"),
        (b"POST", b"/publish", b"[]", 400, b"Invalid format.\n"),
        (b"POST", b"/publish", b"{}", 400, b"Invalid format: object does not contain 'items'\n"),
        (b"POST", b"/publish", b'{"items":{}}', 400, b"Invalid format: object contains 'items' with wrong type\n"),
        (b"POST", b"/publish", b'{"items":[{"channel":"a"}]}', 400, b"Invalid format: no formats specified\n"),
    ],
)
def test_path_and_method_decide(method: bytes, target: bytes, body: bytes, status: int, text: bytes) -> None:
    """The reference's table: clients test the status, people read the text."""
    answer = ask(method, target, body)
    assert (answer.status, answer.body, answer.content_type) == (status, text, b"text/plain")


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (b"application/json", b"application/json"),
        (b"application/*;q=0.1", b"application/json"),
        (b"application/json, */*", b"text/plain"),
        (b"*/*, application/json", b"application/json"),
        (b"text/html, TEXT/PLAIN", b"text/plain"),
        (b"*", b"text/plain"),
        (b"application/json, text/html", b"application/json"),
    ],
)
def test_last_known_accept_entry_wins(accept: bytes, content_type: bytes) -> None:
    """The reference's rule, though not HTTP's: a client library may depend on it."""
    answer = ask(b"POST", b"/publish", ITEM, accept)
    assert answer.content_type == content_type
    assert answer.body == (b"Published\n" if content_type == b"text/plain" else b'{"message":"Published"}\n')


@pytest.mark.parametrize("target", [b"/", b"/else", b"/publish"])
def test_unknown_accept_is_refused_before_the_path_is_looked_at(target: bytes) -> None:
    """Also for ``/``, as the reference."""
    answer = ask(b"GET", target, accept=b"text/html")
    assert answer.status == 406
    assert answer.body == b"Not Acceptable. Supported formats are text/plain and application/json.\n"


def test_bad_item_publishes_none() -> None:
    """All or nothing: a publisher can repeat the whole request."""
    body = b'{"items":[{"channel":"a","http-stream":{"content":"1"}},{"http-stream":{"content":"2"}}]}'
    decision = decide(ControlRequest(b"POST", b"/publish", None, body))
    assert decision.items == []
    assert decision.is_refused_publish
    assert decision.answer.status == 400
    assert b"does not contain 'channel'" in decision.answer.body


def test_items_are_handed_on_in_order() -> None:
    """The order of a request is the order of delivery."""
    body = b'{"items":[{"channel":"b","http-stream":{"content":"1"}},{"channel":"a","http-stream":{"content":"2"}}]}'
    decision = decide(ControlRequest(b"POST", b"/publish", None, body))
    assert [item.channel for item in decision.items] == ["b", "a"]


def test_recover_is_told_apart() -> None:
    """The hub acts on it; the answer alone does not."""
    assert decide(ControlRequest(b"POST", b"/recover", None, b"")).is_recover
    assert not decide(ControlRequest(b"GET", b"/recover", None, b"")).is_recover


def test_answer_bytes_and_header_order() -> None:
    """Nothing but these headers, in this order."""
    assert encode_answer(ask(b"GET", b"/publish"), is_http_1_0=False, is_head=False) == (
        b"HTTP/1.1 405 Method Not Allowed\r\nAllow: POST\r\nContent-Type: text/plain\r\n"
        b"Connection: close\r\nContent-Length: 25\r\n\r\nMethod not allowed: GET.\n"
    )


def test_answer_to_head_has_no_body() -> None:
    """Unlike the reference: an HTTP client takes such a body for garbage."""
    encoded = encode_answer(ask(b"HEAD", b"/"), is_http_1_0=True, is_head=True)
    assert encoded.startswith(b"HTTP/1.0 200 OK\r\n")
    assert encoded.endswith(b"Content-Length: 12\r\n\r\n")


def test_unreadable_request_is_answered_in_plain_text() -> None:
    """Whatever its Accept header said: it may not have been read."""
    answer = answer_error(ControlRequestError("Request requires Content-Length.", status=411))
    assert answer == ControlAnswer(411, b"Request requires Content-Length.\n", b"text/plain")
