"""JSON-P: a page's script tag asks with GET, the origin gets the request that is meant, and the answer is a script.

Only on routes with ``aco``. Source: Pushpin's requestsession.cpp and httpsession.cpp. Stricter than Pushpin: the
callback must be a name in JavaScript, and nothing in the parameters can change how the origin's request is framed.
"""

import re
from dataclasses import dataclass, replace

import orjson

from gripproxy.errors import ClientError, OriginError
from gripproxy.protocol.header_params import header_value
from gripproxy.protocol.http1 import CHUNKED, NONE, REQUEST_HEADERS_MAX_COUNT, SIZED, Headers, RequestHead, breaks_lines
from gripproxy.protocol.http1 import is_header_name as is_token
from gripproxy.protocol.json_text import decode_json

# `name`, `a.b`, `a[0]`, `a["b"]`: what can be called, and nothing that runs before the call.
_NAME = rb"[A-Za-z_$][A-Za-z0-9_$]*"
_CALLBACK = re.compile(rb"%s(?:\.%s|\[(?:[0-9]{1,9}|\"[\w$. -]*\"|'[\w$. -]*')\])*" % (_NAME, _NAME))
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")

# Headers that `_headers` does not set and that do not go over from the GET: those written anew, and those about the
# connection, by which a page could make an origin read another request.
_WRITTEN_ANEW = frozenset([b"host", b"accept", b"content-length", b"transfer-encoding"])
_NOT_SETTABLE = _WRITTEN_ANEW | {
    b"connection",
    b"expect",
    b"keep-alive",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"upgrade",
}

_OUTER_TYPE = (b"Content-Type", b"application/javascript")
_SEPARATORS = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"))  # line ends in a script, not in JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonpRules:
    """What a route's ``jsonp_*`` properties say. `default_method` None: GET if extended, otherwise POST."""

    is_extended: bool = True
    callback_param: bytes = b"callback"
    body_param: bytes | None = None
    default_callback: bytes | None = None
    default_method: bytes | None = None


@dataclass(slots=True)
class JsonpRequest:
    """What a JSON-P request means: `head` and `body` are for the origin.

    The client is still to be answered as the one that sent its own head: it asked with GET, and gets a body.
    """

    head: RequestHead
    body: bytes
    callback: bytes
    is_extended: bool


def decode_jsonp(head: RequestHead, rules: JsonpRules) -> JsonpRequest | None:
    """Read the request that is meant out of a GET's query; None if it is no JSON-P.

    Raises:
        ClientError: 400 with Pushpin's text that names the parameter.
    """
    path, mark, query = head.target.partition(b"?")
    if head.method != b"GET" or not mark:
        return None
    params = _Params(query)
    body_param = rules.body_param or b"_body"
    callback = rules.default_callback
    if rules.callback_param in params:
        callback = params.take(rules.callback_param, "callback")
        if _CALLBACK.fullmatch(callback) is None:
            raise _invalid("callback")
    elif callback is None or rules.body_param is None or rules.body_param not in params:
        return None
    method = rules.default_method or (b"GET" if rules.is_extended else b"POST")
    if b"_method" in params:
        method = params.take(b"_method", "_method")
        if not is_token(method) or method == b"CONNECT":
            raise _invalid("_method")
    headers = _decode_headers(params.take(b"_headers", "_headers")) if b"_headers" in params else []
    body = None
    if body_param in params:
        body = params.take(body_param, "body" if rules.body_param else "_body")
        if rules.body_param:
            headers = [pair for pair in headers if pair[0].lower() != b"content-type"]
            headers.append((b"Content-Type", b"application/json"))
    if head.framing is CHUNKED or head.content_length:  # no script tag sends one, and there can be only one
        raise _invalid("body")
    return JsonpRequest(
        replace(
            head,
            method=method,
            target=path + params.rest(),
            headers=_origin_headers(headers, head),
            framing=NONE if body is None else SIZED,
            content_length=len(body or b""),
            is_expecting_continue=False,
        ),
        body or b"",
        callback,
        rules.is_extended,
    )


def _invalid(name: str) -> ClientError:
    return ClientError(f"Invalid {name} parameter.")


class _Params:
    """A query's parameters; those that are not taken stay as they are written."""

    def __init__(self, query: bytes) -> None:
        self._params: list[tuple[bytes | None, bytes, bytes]] = []
        for text in query.split(b"&"):
            name, _, value = text.partition(b"=")
            self._params.append((_decode(name), value, text))

    def __contains__(self, name: bytes) -> bool:
        return any(param[0] == name for param in self._params)

    def take(self, name: bytes, shown: str) -> bytes:
        """Decode the first parameter called `name`, and remove them all."""
        value = next(_decode(value) for key, value, _ in self._params if key == name)
        if value is None:
            raise _invalid(shown)
        self._params = [param for param in self._params if param[0] != name]
        return value

    def rest(self) -> bytes:
        """Write the query that is left, with its question mark; empty parts are left out."""
        texts = [text for _, _, text in self._params if text]
        return b"?" + b"&".join(texts) if texts else b""


def _decode(text: bytes) -> bytes | None:
    """Percent-decode; ``+`` is a plus. None for a percent sign that is no escape."""
    if _BAD_ESCAPE.search(text):
        return None
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), text)


def _decode_headers(text: bytes) -> Headers:
    try:
        fields = decode_json(text)
    except ValueError:
        raise _invalid("_headers") from None
    if not isinstance(fields, dict) or len(fields) > REQUEST_HEADERS_MAX_COUNT:
        raise _invalid("_headers")
    headers = []
    for key, field in sorted(fields.items()):
        if not isinstance(field, str):
            raise _invalid("_headers")
        name, value = key.encode(), field.strip(" \t").encode()
        if not is_token(name) or breaks_lines(value):
            raise _invalid("_headers")
        if name.lower() not in _NOT_SETTABLE:
            headers.append((name, value))
    return headers


def _origin_headers(given: Headers, head: RequestHead) -> Headers:
    """Put the origin's headers in Pushpin's order; what the page has given replaces the browser's."""
    replaced = _WRITTEN_ANEW | {name.lower() for name, _ in given}
    kept = [pair for pair in head.headers if pair[0].lower() not in replaced]
    return [*given, (b"Host", head.host), (b"Accept", b"*/*"), *kept]


def encode_jsonp(
    request: JsonpRequest, status: int, reason: bytes, headers: Headers, body: bytes, is_held: bool
) -> tuple[Headers, bytes]:
    """Make a script of a response; give its headers, Content-Length not included, and its bytes.

    Args:
        headers: with Content-Length if the origin's response has one and is no instruct: the page gets it too.
        is_held: the response ends a hold. Pushpin writes such ones in another way, and keeps their headers.

    Raises:
        OriginError: the body is compressed; the text is for a 500.
    """
    if (header_value(headers, b"content-encoding") or b"identity").lower() != b"identity":
        raise OriginError("Upstream response could not be JSON-P encoded.")
    if is_held:
        headers = [pair for pair in headers if pair[0].lower() != b"content-length"]
        outer = [*[pair for pair in headers if pair[0].lower() != b"content-type"], _OUTER_TYPE]
    else:
        outer = [_OUTER_TYPE, *[pair for pair in headers if pair[0].lower() == b"cache-control"]]
    if not request.is_extended:
        content = body[:-2] if body.endswith(b"\r\n") else body[:-1] if body.endswith(b"\n") else body
    elif is_held:
        fields = {"body": _text(body), "code": status, "headers": _merged(headers), "reason": _text(reason)}
        content = _json(fields)
    else:
        firsts: dict[str, str] = {}
        for name, value in headers:
            firsts.setdefault(_text(name), _text(value))
        parts = (status, _json(_text(reason)), _json(firsts), _json(_text(body)))
        content = b'{"code": %d, "reason": %s, "headers": %s, "body": %s}' % parts
    for separator, escape in _SEPARATORS:
        content = content.replace(separator, escape)
    return outer, b"/**/%s(%s);\n" % (request.callback, content)


def _merged(headers: Headers) -> dict[str, str]:
    """Give each header once, in its first spelling, with all its values."""
    spellings: dict[bytes, bytes] = {}
    values: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        lower = name.lower()
        spellings.setdefault(lower, name)
        values.setdefault(lower, []).append(value)
    return {_text(spelling): _text(b", ".join(values[lower])) for lower, spelling in spellings.items()}


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _json(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
