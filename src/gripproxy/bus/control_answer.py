"""What the control server answers to a complete request, and as which bytes. Pure: nothing is published here.

Source: Pushpin's control server, text by text. Unlike there, an answer to HEAD has no body.
"""

from dataclasses import dataclass, field

from gripproxy.bus.control_request import ControlRequest, ControlRequestError
from gripproxy.errors import PublishError
from gripproxy.protocol.publish_item import PublishItem, decode_publish_request
from gripproxy.protocol.reason_phrase import reason_phrase

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
PLAIN_TYPE, JSON_TYPE = b"text/plain", b"application/json"  # content types
NO_STORE = (b"Cache-Control", b"no-store")
_PLAIN_ACCEPTS = frozenset((PLAIN_TYPE, b"text/*", b"*/*", b"*"))
_JSON_ACCEPTS = frozenset((JSON_TYPE, b"application/*"))


@dataclass(slots=True)
class ControlAnswer:
    """One answer. `extra` headers go before the usual ones."""

    status: int
    body: bytes
    content_type: bytes = PLAIN_TYPE
    extra: list[tuple[bytes, bytes]] = field(default_factory=list)


@dataclass(slots=True)
class ControlDecision:
    """What to do about a request: hand on `items`, recover, and send `answer`."""

    answer: ControlAnswer
    items: list[PublishItem] = field(default_factory=list)
    is_recover: bool = False
    is_refused_publish: bool = False


def encode_answer(answer: ControlAnswer, is_http_1_0: bool, is_head: bool) -> bytes:
    head = _encode_head(answer, is_http_1_0, b"Content-Length: %d" % len(answer.body))
    return head + (b"" if is_head else answer.body)


def encode_stream_head(answer: ControlAnswer, is_http_1_0: bool) -> bytes:
    """Encode the head of an answer whose body comes piece by piece: chunked, or up to the end for HTTP/1.0."""
    return _encode_head(answer, is_http_1_0, None if is_http_1_0 else b"Transfer-Encoding: chunked")


def _encode_head(answer: ControlAnswer, is_http_1_0: bool, framing: bytes | None) -> bytes:
    lines = [b"HTTP/1.%d %d %s" % (0 if is_http_1_0 else 1, answer.status, reason_phrase(answer.status))]
    lines += [b"%s: %s" % header for header in answer.extra]
    lines += [b"Content-Type: " + answer.content_type, b"Connection: close"]
    lines += [] if framing is None else [framing]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def answer_error(error: ControlRequestError) -> ControlAnswer:
    return ControlAnswer(error.status, str(error).encode() + b"\n")


BUSY = ControlAnswer(503, b"A worker process is too busy to take more items.\n", extra=[(b"Retry-After", b"1")])
TIMED_OUT = ControlAnswer(408, b"Request took too long.\n")
FAILED = ControlAnswer(500, b"Internal error of gripproxy; its log says more.\n")
TOO_MANY_STREAMS = ControlAnswer(503, b"Too many listen already.\n", extra=[(b"Retry-After", b"10")])


def decide(request: ControlRequest) -> ControlDecision:
    """Route a request to the control port: ``/``, ``/publish`` and ``/recover``."""
    path = request.target
    if len(path) > 1:
        path = path.removesuffix(b"/")
    content_type = _choose_content_type(request.accept)
    if content_type is None:
        return _refuse(406, b"Not Acceptable. Supported formats are text/plain and application/json.")
    if path == b"/":
        return ControlDecision(ControlAnswer(200, b"Pushpin API\n"))
    if path not in (b"/publish", b"/recover"):
        return _refuse(404, b"Not Found")
    if request.method != b"POST":
        decision = _refuse(405, b"Method not allowed: %s." % request.method)
        decision.answer.extra.append((b"Allow", b"POST"))
        return decision
    if path == b"/recover":
        return ControlDecision(_done(b"Updated", content_type), is_recover=True)
    try:
        items = decode_publish_request(request.body)
    except PublishError as error:
        decision = _refuse(400, str(error).encode(errors="replace"))
        decision.is_refused_publish = True
        return decision
    return ControlDecision(_done(b"Published", content_type), items)


def _choose_content_type(accept: bytes | None) -> bytes | None:
    """Choose by Pushpin's rule: q-values do not count, and the last entry that we know wins."""
    if accept is None:
        return PLAIN_TYPE
    chosen = None
    for entry in accept.split(b","):
        media_range = entry.partition(b";")[0].strip().lower()
        if media_range in _PLAIN_ACCEPTS:
            chosen = PLAIN_TYPE
        elif media_range in _JSON_ACCEPTS:
            chosen = JSON_TYPE
    return chosen


def _done(word: bytes, content_type: bytes) -> ControlAnswer:
    return ControlAnswer(200, (b'{"message":"%s"}\n' if content_type == JSON_TYPE else b"%s\n") % word, content_type)


def _refuse(status: int, text: bytes) -> ControlDecision:
    return ControlDecision(ControlAnswer(status, text + b"\n"))
