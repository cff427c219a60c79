"""One HTTP/1.x request to the control server, from bytes to a value. No sockets: bytes go in as they arrive.

Source: Pushpin's control server, text by text. One request per connection, so whatever follows the announced body is
an error and cannot be taken for another request.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from gripproxy.errors import PublishError

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_INTEGER = re.compile(rb"[+-]?[0-9]{1,18}")
_PARAMETERS_MAX_COUNT = 100
_BODILESS_METHODS = frozenset((b"HEAD", b"GET", b"DELETE", b"OPTIONS"))


class ControlRequestError(PublishError):
    """The request cannot be read: answer with `status` and the text, as text/plain, and close."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(slots=True)
class ControlRequest:
    """A complete request. `target` is as sent; `accept` joins all Accept headers, None if there is none.

    `headers` has lower-case names, and each name's values in the order they came.
    """

    method: bytes
    target: bytes
    accept: bytes | None
    body: bytes
    headers: dict[bytes, list[bytes]] = field(default_factory=dict)

    @property
    def path(self) -> bytes:
        """The target without its query, and without the slash at its end."""
        path = self.target.partition(b"?")[0]
        return path.removesuffix(b"/") if len(path) > 1 else path

    def header(self, name: bytes) -> bytes | None:
        """Give the value of a header that should be there once; of more, all with commas between."""
        values = self.headers.get(name)
        return None if values is None else b",".join(values)

    def parameters(self) -> dict[str, list[str]]:
        """Decode the query. Names without a value have an empty one; what is no UTF-8 is replaced.

        Raises:
            ControlRequestError: there are too many.
        """
        query = self.target.partition(b"?")[2].decode(errors="replace")
        try:
            return parse_qs(query, keep_blank_values=True, max_num_fields=_PARAMETERS_MAX_COUNT)
        except ValueError:
            raise ControlRequestError("Too many parameters in the query.") from None


class ControlRequestReader:
    """Collects one request. Sizes in bytes; the head's includes its empty line."""

    def __init__(self, head_max_bytes: int, body_max_bytes: int) -> None:
        self._head_max_bytes = head_max_bytes
        self._body_max_bytes = body_max_bytes
        self._buffer = bytearray()
        self._searched_bytes = 0
        self._body_bytes: int | None = 0  # None: no body was announced
        self._request: ControlRequest | None = None  # its body is still to come
        self._is_continue_due = False
        self.is_http_1_0 = False  # known once the request line is; the answer's version follows it
        self.is_head = False

    def feed(self, data: bytes) -> ControlRequest | None:
        """Take bytes; give the request once it is complete, None before.

        Raises:
            ControlRequestError: Pushpin's text for what is wrong. Feed nothing more after it.
        """
        self._buffer += data
        if self._request is None:
            found = _HEAD_END.search(self._buffer, max(0, self._searched_bytes - 3))
            if (found.end() if found else len(self._buffer) + 1) > self._head_max_bytes:
                raise ControlRequestError("Request header too large.")
            if found is None:
                self._searched_bytes = len(self._buffer)
                return None
            head = bytes(self._buffer[: found.start()])
            del self._buffer[: found.end()]
            self._request = self._decode_head(head)
        if self._body_bytes is None:
            return self._request  # what may follow is not looked at, as in the reference
        if len(self._buffer) > self._body_bytes:
            raise ControlRequestError("Request body exceeded Content-Length.")
        if len(self._buffer) < self._body_bytes:
            return None
        self._request.body = bytes(self._buffer)
        return self._request

    @property
    def head(self) -> ControlRequest | None:
        """The request without its body, once its head has come."""
        return self._request

    def take_continue(self) -> bool:
        """Say, once, that the client waits for ``100 Continue`` before it sends the body."""
        is_due, self._is_continue_due = self._is_continue_due, False
        return is_due

    def _decode_head(self, head: bytes) -> ControlRequest:
        request_line, *lines = [line.removesuffix(b"\r") for line in head.split(b"\n")]
        parts = request_line.split(b" ", 2)
        if len(parts) < 3 or not all(parts):
            raise ControlRequestError("Failed to parse request header.")
        method, target, version = parts
        self.is_http_1_0 = version == b"HTTP/1.0"
        self.is_head = method == b"HEAD"
        headers: dict[bytes, list[bytes]] = {}
        for line in lines:
            name, colon, value = line.partition(b":")
            if not colon or not name or name != name.strip():
                raise ControlRequestError("Failed to parse request header.")
            headers.setdefault(name.lower(), []).append(value.strip())
        self._body_bytes = self._decode_length(method, headers)
        # A 1.0 client cannot read a 1xx answer (RFC 9110 section 10.1.1).
        self._is_continue_due = headers.get(b"expect") == [b"100-continue"] and not self.is_http_1_0
        accept = headers.get(b"accept")
        return ControlRequest(method, target, None if accept is None else b",".join(accept), b"", headers)

    def _decode_length(self, method: bytes, headers: dict[bytes, list[bytes]]) -> int | None:
        lengths = headers.get(b"content-length")
        if lengths is None:
            if b"transfer-encoding" in headers or method not in _BODILESS_METHODS:
                raise ControlRequestError("Request requires Content-Length.", status=411)
            return None
        if len(set(lengths)) > 1 or not _INTEGER.fullmatch(lengths[0]):
            raise ControlRequestError("Bad Content-Length.")
        length = int(lengths[0])
        if length < 0:
            raise ControlRequestError("Request body exceeded Content-Length.")
        if length > self._body_max_bytes:
            raise ControlRequestError("Request body too large.", status=413)
        return length
