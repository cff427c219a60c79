"""Who may use the control port: whoever knows the key, if there is one, and no page of a foreign site. Pure.

Browsers let every page send requests to every address, those of the user's own machine included. They say so, though:
in ``Origin`` and ``Sec-Fetch-Site``, which publishers' libraries do not send.
"""

import base64
import binascii
import hashlib
import hmac
import ipaddress
from collections.abc import Callable
from urllib.parse import urlsplit

from gripproxy.bus.control_answer import ControlAnswer
from gripproxy.bus.control_request import ControlRequest
from gripproxy.listen_address import is_loopback_host
from gripproxy.protocol.grip_sig import GripVerifier, SigKey
from gripproxy.scoreboard import Field

_CHALLENGE = (b"WWW-Authenticate", b'Bearer realm="gripproxy"')
_ADVICE = (
    "Send the key as a bearer token or as a Basic password, or a JWT that is signed with it, as a GRIP_URL with"
    " ?key=KEY or ?iss=NAME&key=KEY makes clients do.\n"
)
_PLAIN_SCHEME_PORTS = {"http": 80, "https": 443}
_NO_SITE = frozenset((b"same-origin", b"none"))


class ControlAuth:
    """Compares what a request brings with the key of `push_in_http_key`."""

    def __init__(self, key: SigKey, issuer: str = "", is_hex: bool = False) -> None:
        """Make it for a key that verifies.

        Args:
            issuer: the `iss` that tokens must have; empty: any or none.
            is_hex: the key was written in hexadecimal, so that clients may know it by that.
        """
        self._issuer = issuer
        # A public key is no secret: only tokens prove anything then.
        texts = [key.secret, b"base64:" + base64.b64encode(key.secret)] if key.algorithm == "HS256" else []
        keys = [key]
        if texts and is_hex:
            digits = key.secret.hex().encode()
            texts.append(digits)
            keys.append(SigKey(digits))  # with them libraries sign, if they are the key of a GRIP_URL
        self._verifiers = [GripVerifier(each) for each in keys]
        self._digests = [_digest(text) for text in texts]

    def fault(self, authorization: bytes | None, unix_time_s: float) -> str | None:
        """Say why an ``Authorization`` header does not do, None if it does. The text has nothing of it."""
        if authorization is None:
            return "there is no Authorization header"
        scheme, _, credentials = authorization.partition(b" ")
        credentials = credentials.strip(b" ")
        if scheme.lower() == b"basic":
            return None if self._is_key(_password(credentials)) else "the password is not the key"
        if scheme.lower() != b"bearer":
            return "the scheme is neither Bearer nor Basic"
        if self._is_key(credentials):
            return None
        for verifier in self._verifiers:
            claims = verifier.claims(credentials)
            if claims is not None:
                return self._claims_fault(claims, unix_time_s)
        return "the bearer token is neither the key nor a JWT that is signed with it"

    def _claims_fault(self, claims: dict[str, object], unix_time_s: float) -> str | None:
        expires_s = claims.get("exp")
        if isinstance(expires_s, bool) or not isinstance(expires_s, int | float):
            return "the token has no exp"
        if expires_s <= unix_time_s:
            return "the token has expired"
        begins_s = claims.get("nbf", 0)
        if isinstance(begins_s, bool) or not isinstance(begins_s, int | float) or begins_s > unix_time_s:
            return "the token is not valid yet"
        if self._issuer and claims.get("iss") != self._issuer:
            return "the token is not from the issuer of push_in_http_iss"
        return None

    def _is_key(self, text: bytes) -> bool:
        digest = _digest(text)
        return any(hmac.compare_digest(digest, known) for known in self._digests)


class ControlGuard:
    """Refuses requests before their handlers see them, and counts those without the key in the hub's `row`."""

    def __init__(
        self, row: memoryview, unix_time: Callable[[], float], auth: ControlAuth | None, is_loopback: bool
    ) -> None:
        """Make it.

        Args:
            unix_time: gives the wall clock's seconds since 1970.
            auth: None if everybody may.
            is_loopback: only this machine reaches the port, and no name but its own leads there.
        """
        self._row = row
        self._unix_time = unix_time
        self._auth = auth
        self._is_loopback = is_loopback

    def use(self, auth: ControlAuth | None) -> None:
        """Ask for another key from now on, or for none."""
        self._auth = auth

    def refuse(self, request: ControlRequest, is_public: bool) -> ControlAnswer | None:
        """Give the answer for a request that may not be served. `is_public`: its answer is for everybody."""
        fault = self._foreign_page_fault(request)
        if fault is not None:
            return ControlAnswer(403, f"Forbidden: {fault}\n".encode(errors="replace"))
        if is_public or self._auth is None:
            return None
        fault = self._auth.fault(request.header(b"authorization"), self._unix_time())
        if fault is None:
            return None
        self._row[Field.UNAUTHORIZED] += 1
        return ControlAnswer(401, f"Unauthorized: {fault}. {_ADVICE}".encode(), extra=[_CHALLENGE])

    def _foreign_page_fault(self, request: ControlRequest) -> str | None:
        origin, site = request.header(b"origin"), request.header(b"sec-fetch-site")
        if origin is None and site is None:
            return None
        host = request.header(b"host") or b""
        if origin is not None and not _is_same_origin(origin, host):
            return "a page of another origin asks for this; Origin and Host differ."
        if site is not None and site not in _NO_SITE and not _is_navigation(request):
            return "a page of another site asks for this; Sec-Fetch-Site says so."
        if self._is_loopback and self._auth is None and not _is_own_name(host):
            # A site may let its own name lead to this machine: then its pages are of the same origin.
            return "this name does not belong to this machine. Use its address, or set push_in_http_key."
        return None


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()


def _password(credentials: bytes) -> bytes:
    try:
        return base64.b64decode(credentials, validate=True).partition(b":")[2]
    except binascii.Error:
        return b""  # which is no key: that one is never empty


def _is_same_origin(origin: bytes, host: bytes) -> bool:
    """Compare host and port. The scheme may differ: a proxy in front may speak https."""
    try:
        parts, own = urlsplit(origin.decode()), urlsplit("//" + host.decode())
        default = _PLAIN_SCHEME_PORTS.get(parts.scheme)
        return parts.hostname is not None and (parts.hostname, parts.port or default) == (
            own.hostname,
            own.port or default,
        )
    except ValueError:  # and UnicodeDecodeError
        return False


def _is_navigation(request: ControlRequest) -> bool:
    """Tell a link that the user followed: what comes is shown to him, and the page with the link sees nothing."""
    is_document = request.header(b"sec-fetch-mode") == b"navigate" and request.header(b"sec-fetch-dest") == b"document"
    return is_document and request.method in (b"GET", b"HEAD")


def _is_own_name(host: bytes) -> bool:
    try:
        name = urlsplit("//" + host.decode()).hostname or ""
    except ValueError:  # and UnicodeDecodeError
        return False
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return is_loopback_host(name)
    return True
