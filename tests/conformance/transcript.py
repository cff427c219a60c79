"""What two servers must agree on: the bytes a client gets, and the request an origin gets.

Taken off before the comparison: the boundaries of chunks and of frames, which depend on timing in any proxy; the token
in Grip-Sig, which is verified instead; and the random ids and keys of WebSockets.
"""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import jwt
import tnetstring

from tests.conformance.frames import CLIENT_KEY, readable_frames
from tests.integration.origin import OriginRequest

SIG_KEY = "changeme-and-make-it-thirty-two-bytes-long"
LAST_ID_HEADER = "Grip-Last"  # one a channel, in the order of a hash table in the reference
ROUTE_ISSUER, ROUTE_KEY = "route", "the-key-of-one-route-is-thirty-two-bytes"
UPSTREAM_ISSUER, UPSTREAM_KEY = "edge", "the-key-of-a-proxy-in-front-is-long-enough"
KEYLESS_ISSUER = "keyless"
KEYS = {"pushpin": SIG_KEY, ROUTE_ISSUER: ROUTE_KEY, UPSTREAM_ISSUER: UPSTREAM_KEY}  # of tokens, by issuer
REQUEST_LINE = re.compile(rb"^([A-Za-z]+) \S+ HTTP/1\.[01]\r\n", re.MULTILINE)
EVENTS_TYPE = "application/websocket-events"
CONNECTION_ID = re.compile(r"^Connection-Id: ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$", re.MULTILINE)
RANDOM_KEY = re.compile(r"[A-Za-z0-9+/]{21}[AQgw]==")  # 16 bytes in base64
BODILESS = re.compile(rb"HTTP/1\.[01] (1\d\d|204|304)")
FRAMING_HEADER = re.compile(
    rb"\r\n(?:Content-Length|Transfer-Encoding|Connection: Transfer-Encoding)[^\r]*", re.IGNORECASE
)


def methods_in(sent: bytes) -> list[str]:
    """Give the methods of the requests a client has sent, in order."""
    return [match.decode() for match in REQUEST_LINE.findall(sent)]


def readable_reply(body: bytes) -> str:
    """Spell a reply of the command socket, whose maps have their keys in the order of a hash table."""
    return _in_order(tnetstring.loads(body))


def _in_order(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name!r}: {_in_order(value[name])}" for name in sorted(value)) + "}"
    return repr(value)


@dataclass(slots=True)
class _Answers:
    """Cuts a client's received bytes into answers."""

    rest: bytes
    methods: list[str]
    is_framing_free: bool

    def next(self) -> bytes:
        """Give the next answer with its chunks joined; the incomplete rest as it is."""
        head, blank, self.rest = self.rest.partition(b"\r\n\r\n")
        if not blank:
            return head
        if head.startswith(b"HTTP/1.1 101"):
            return head + blank + readable_frames(self._take(len(self.rest)))
        is_interim = head.startswith((b"HTTP/1.1 1", b"HTTP/1.0 1"))
        method = "" if is_interim or not self.methods else self.methods.pop(0)
        shown = FRAMING_HEADER.sub(b"", head) if self.is_framing_free else head
        return shown + blank + self._body(head, method)

    def _body(self, head: bytes, method: str) -> bytes:
        if method == "HEAD" or BODILESS.match(head):
            until_next = self.rest.find(b"HTTP/1.")
            return self._take(len(self.rest) if until_next < 0 else until_next)
        if re.search(rb"\r\nTransfer-Encoding: *chunked", head, re.IGNORECASE):
            return self._chunks()
        length = re.search(rb"\r\nContent-Length: *(\d+)", head, re.IGNORECASE)
        return self._take(int(length[1]) if length else len(self.rest))

    def _take(self, size: int) -> bytes:
        taken, self.rest = self.rest[:size], self.rest[size:]
        return taken

    def _chunks(self) -> bytes:
        body = b""
        while match := re.match(rb"([0-9a-fA-F]+)\r\n", self.rest):
            size = int(match[1], 16)
            if size == 0 and self.rest.startswith(b"0\r\n\r\n"):
                self.rest = self.rest[5:]
                return body + (b"" if self.is_framing_free else b"<last chunk>")
            if len(self.rest) < match.end() + size + 2:
                break
            body += self.rest[match.end() : match.end() + size]
            self.rest = self.rest[match.end() + size + 2 :]
        return body + self._take(len(self.rest))


def readable(received: bytes, methods: list[str], is_framing_free: bool = False) -> bytes:
    """Join the chunks of every answer in `received`; everything else stays byte for byte."""
    answers = _Answers(received, list(methods), is_framing_free)
    parts = []
    while answers.rest:
        parts.append(answers.next())
    return b"".join(parts)


def readable_request(request: OriginRequest) -> str:
    """Spell what the origin got, one header a line.

    Raises:
        jwt.InvalidTokenError: Grip-Sig does not verify.
    """
    lines = [f"{request.method} {request.target} {request.version}"]
    last_ids = iter(sorted(value for name, value in request.headers if name == LAST_ID_HEADER))
    for name, value in request.headers:
        if name == LAST_ID_HEADER:
            value = next(last_ids)
        if name == "Grip-Sig":
            issuer = jwt.decode(value, options={"verify_signature": False}).get("iss")
            if issuer != KEYLESS_ISSUER:  # PyJWT verifies no token with an empty key
                jwt.decode(value, KEYS.get(issuer, SIG_KEY), algorithms=["HS256"])
            value = f"<token of {issuer}>"
        if name == "Sec-WebSocket-Key" and value != CLIENT_KEY and RANDOM_KEY.fullmatch(value):
            value = "<random key>"
        lines.append(f"{name}: {value}")
    body = request.body if request.connection is None else readable_socket(request)
    return "\n".join([*lines, "", body.decode("latin-1")])


def readable_socket(request: OriginRequest) -> bytes:
    """Show the frames that came behind a request, and whether the proxy has ended the connection."""
    return readable_frames(request.body, is_from_client=True) + (b"<ended>" if request.is_ended else b"<open>")


def without_repeats(text: str) -> str:
    """Leave out lines that are equal to the one before."""
    return "".join(line for line, _ in itertools.groupby(text.splitlines(keepends=True)))


def is_of_another_session(request: OriginRequest, requests: Sequence[OriginRequest]) -> bool:
    """Say whether a request belongs to a WebSocket of an earlier scenario, which was told of its end just now."""
    if ("Content-Type", EVENTS_TYPE) not in request.headers:
        return False
    own = (each for each in requests if each.header("Connection-Id") == request.header("Connection-Id"))
    return not any(each.body.startswith(b"OPEN\r\n") for each in own)


def with_short_ids(texts: Sequence[str]) -> list[str]:
    """Put a number for each random Connection-Id, by its first occurrence."""
    ids = list(dict.fromkeys(found for text in texts for found in CONNECTION_ID.findall(text)))
    numbers = {found: f"Connection-Id: <id {number}>" for number, found in enumerate(ids, 1)}
    return [CONNECTION_ID.sub(lambda match: numbers[match[1]], text) for text in texts]
