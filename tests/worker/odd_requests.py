"""Reads `odd_requests.txt`: requests as bytes, each with how our reading of it compares with h11's.

A line is a category of `CATEGORIES` and the bytes, escaped as in a Python string; ``{x*50}`` is x fifty times.
"""

import re
from dataclasses import dataclass
from pathlib import Path

CORPUS_PATH = Path(__file__).with_suffix(".txt")

_REPEATED = re.compile(r"\{([^{}*]+)\*([0-9]+)\}")

# What makes a difference, and why it is one.
CATEGORIES = {
    "same": "both read the same requests, and both refuse the rest or neither does",
    # We refuse, h11 does not.
    "connect": "a reverse proxy tunnels to nowhere",
    "control": "control characters but the tab are in no header value (RFC 9110 section 5.5)",
    "chunk": "what is no chunk by the grammar (RFC 9112 section 7.1), or no trailer, and 2**64 and more",
    "folded": "a folded line is another header to some (RFC 9112 section 5.2)",
    "headers": "more than 64, as in Pushpin",
    "head": "more than 8,192 bytes, as in Pushpin",
    "host": "no host by the grammar, or one with a part that a URL has elsewhere (RFC 9112 section 3.2)",
    "length": "not one plain number of at most 18 digits (RFC 9112 section 6.3)",
    "two-lengths": "Transfer-Encoding beside Content-Length, or in HTTP/1.0 (RFC 9112 section 6.1)",
    "target": "neither a path nor an absolute http URL without a user (RFC 9112 section 3.2)",
    "url": "longer than 4,096 bytes, as in Pushpin",
    "version": "neither 1.0 nor 1.1",
    # h11 refuses, we do not.
    "empty-lines": "those before a request are skipped (RFC 9112 section 2.2)",
    "hostless": "goes to localhost, as in Pushpin",
    "zeros": "leading zeros of a chunk's size; h11 takes 20 digits",
    # Both take it.
    "absolute": "we bring the target into origin form (RFC 9112 section 3.2.2)",
    "escapes": "a path is percent-encoded no more than it must be, as in Pushpin (RFC 3986 section 6.2.2)",
    "kept-1.0": "HTTP/1.0 connections persist when the client asks for it, as in Pushpin; h11 ends them",
    "fragment": "is the client's own business and goes no further, as in Pushpin",
}


@dataclass(frozen=True, slots=True)
class OddRequest:
    """What a client sends, maybe several requests."""

    category: str
    data: bytes


def read_corpus() -> list[OddRequest]:
    """Give all requests of the file."""
    requests = []
    for line in CORPUS_PATH.read_text().splitlines():
        category, _, escaped = line.partition(" ")
        text = _REPEATED.sub(lambda match: match[1] * int(match[2]), escaped.encode().decode("unicode_escape"))
        requests.append(OddRequest(category, text.encode("latin-1")))
    return requests
