"""``GET /dashboard``: one page that shows the figures of ``/stats`` and the lines of ``/events``.

The page itself is the same for everybody and holds no figures: nobody is asked for a key for it. It asks for the key
itself, and needs nothing from anywhere else.
"""

import base64
import hashlib
import re
from pathlib import Path

from gripproxy.bus.control_answer import ControlAnswer
from gripproxy.bus.control_request import ControlRequest

_PAGE = Path(__file__).with_name("dashboard.html").read_bytes()  # before the fork, once


def content_security_policy(page: bytes) -> bytes:
    """Allow the page's own script and styles, by their hashes, what they fetch from here, and nothing else."""
    script, style = (_hash_of(page, tag) for tag in (b"script", b"style"))
    return (
        b"default-src 'none'; script-src %s; style-src %s; connect-src 'self'; img-src data:; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'" % (script, style)
    )


def _hash_of(page: bytes, tag: bytes) -> bytes:
    (text,) = re.findall(b"<%s>(.*?)</%s>" % (tag, tag), page, re.DOTALL)
    return b"'sha256-%s'" % base64.b64encode(hashlib.sha256(text).digest())


_HEADERS = [
    (b"Content-Security-Policy", content_security_policy(_PAGE)),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Referrer-Policy", b"no-referrer"),
    (b"Cache-Control", b"no-cache"),
]


def respond(_: ControlRequest) -> ControlAnswer:
    """Answer with the page."""
    return ControlAnswer(200, _PAGE, b"text/html; charset=utf-8", [*_HEADERS])
