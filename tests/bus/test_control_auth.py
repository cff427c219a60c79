"""Who may use the control port: what proves the key, what does not, and which pages may not ask at all."""

import base64
import json

import jwt
import pytest

from gripproxy.bus.control_answer import ControlAnswer
from gripproxy.bus.control_auth import ControlAuth, ControlGuard
from gripproxy.bus.control_request import ControlRequest
from gripproxy.protocol.grip_sig import SigKey
from gripproxy.scoreboard import Field, Scoreboard

NOW_S = 1_800_000_000.0
SECRET = b"change-me-" * 7
AUTH = ControlAuth(SigKey(SECRET))


def token(secret: bytes = SECRET, algorithm: str = "HS256", **claims: object) -> bytes:
    return b"Bearer " + jwt.encode({"exp": NOW_S + 60, **claims}, secret, algorithm).encode()


def basic(text: bytes) -> bytes:
    return b"Basic " + base64.b64encode(text)


def unsigned() -> bytes:
    parts = [json.dumps(part).encode() for part in ({"alg": "none"}, {"exp": NOW_S + 60})]
    return b"Bearer " + b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts) + b"."


@pytest.mark.parametrize(
    "authorization",
    [
        b"Bearer " + SECRET,
        b"bearer  " + SECRET + b" ",
        b"Bearer base64:" + base64.b64encode(SECRET),
        basic(b"anybody:" + SECRET),
        token(),
        token(iss="anybody"),
    ],
)
def test_key_is_proved_as_publishers_prove_it(authorization: bytes) -> None:
    """GRIP URLs with a key make the libraries send a bearer, with an iss a JWT; curl -u sends Basic."""
    assert AUTH.fault(authorization, NOW_S) is None


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [
        (None, "there is no Authorization header"),
        (b"", "the scheme is neither Bearer nor Basic"),
        (b"Digest x", "the scheme is neither Bearer nor Basic"),
        (b"Bearer", "the bearer token is neither the key nor a JWT that is signed with it"),
        (b"Bearer " + SECRET[:-1], "the bearer token is neither the key nor a JWT that is signed with it"),
        (b"Bearer " + SECRET.hex().encode(), "the bearer token is neither the key nor a JWT that is signed with it"),
        (b"Bearer " + SECRET + b",Bearer x", "the bearer token is neither the key nor a JWT that is signed with it"),
        (b"Bearer \xff.\x00.[", "the bearer token is neither the key nor a JWT that is signed with it"),
        (token(b"x" * 32), "the bearer token is neither the key nor a JWT that is signed with it"),
        (token(algorithm="HS512"), "the bearer token is neither the key nor a JWT that is signed with it"),
        (unsigned(), "the bearer token is neither the key nor a JWT that is signed with it"),
        (token(exp=NOW_S), "the token has expired"),
        (token(nbf=NOW_S + 1), "the token is not valid yet"),
        (token(nbf="soon"), "the token is not valid yet"),
        (token(exp=None), "the token has no exp"),
        (token(exp=True), "the token has no exp"),
        (basic(SECRET + b":"), "the password is not the key"),
        (basic(b":" + SECRET)[:-4], "the password is not the key"),
        (b"Basic !", "the password is not the key"),
    ],
)
def test_all_else_is_refused_with_its_reason(authorization: bytes | None, reason: str) -> None:
    """The reason is what helps; nothing of what was sent is in it."""
    assert AUTH.fault(authorization, NOW_S) == reason


def test_token_is_valid_from_its_beginning() -> None:
    """RFC 7519, section 4.1.5."""
    assert AUTH.fault(token(nbf=NOW_S), NOW_S) is None


def test_issuer_counts_if_one_is_configured() -> None:
    """A key may be shared by several."""
    auth = ControlAuth(SigKey(SECRET), issuer="site")
    assert auth.fault(token(iss="site"), NOW_S) is None
    for claims in ({}, {"iss": "other"}):
        assert auth.fault(token(**claims), NOW_S) == "the token is not from the issuer of push_in_http_iss"
    assert auth.fault(b"Bearer " + SECRET, NOW_S) is None


def test_key_from_a_hex_file_is_known_by_its_digits() -> None:
    """They are what its reader would copy into a GRIP_URL, whose libraries then sign with them as they are."""
    digits = SECRET.hex().encode()
    auth = ControlAuth(SigKey(SECRET), is_hex=True)
    for authorization in (b"Bearer " + digits, basic(b"anybody:" + digits), token(digits), token()):
        assert auth.fault(authorization, NOW_S) is None
    assert auth.fault(token(digits, exp=NOW_S - 1), NOW_S) == "the token has expired"
    assert AUTH.fault(token(digits), NOW_S) is not None


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_public_key_takes_tokens_only(algorithm: str) -> None:
    """It is no secret, so to know it proves nothing; nor may it serve as the secret of an HS256 token."""
    private, public = key_pair(algorithm)
    auth = ControlAuth(SigKey(public, algorithm))
    assert auth.fault(token(private, algorithm), NOW_S) is None
    assert auth.fault(token(private, algorithm, exp=NOW_S - 1), NOW_S) == "the token has expired"
    assert auth.fault(b"Bearer " + public, NOW_S) is not None
    assert auth.fault(basic(b":" + public), NOW_S) is not None
    assert auth.fault(token(), NOW_S) is not None


def key_pair(algorithm: str) -> tuple[bytes, bytes]:
    """Make a private and a public key in PEM."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = (
        ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256" else rsa.generate_private_key(65537, 2048)
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private, key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)


class Gate:
    """A guard and the counter that it counts in."""

    def __init__(self, auth: ControlAuth | None = None, is_loopback: bool = True) -> None:
        self.row = Scoreboard(1).row(0)
        self._guard = ControlGuard(self.row, lambda: NOW_S, auth, is_loopback)

    def refuse(self, method: bytes = b"POST", is_public: bool = False, **headers: bytes) -> ControlAnswer | None:
        named = {name.replace("_", "-").encode(): [value] for name, value in headers.items()}
        return self._guard.refuse(ControlRequest(method, b"/publish/", None, b"", named), is_public)

    def status(self, method: bytes = b"POST", **headers: bytes) -> int | None:
        refusal = self.refuse(method, **headers)
        return None if refusal is None else refusal.status


def test_without_a_key_everybody_may() -> None:
    """As in the reference; an Authorization header is ignored."""
    assert Gate().refuse(host=b"a") is None
    assert Gate().refuse(host=b"a", authorization=b"Bearer x") is None


def test_refusal_says_what_to_do_and_is_counted() -> None:
    """RFC 9110, section 11.6.1: a 401 has a challenge. The text is for whoever wrote the publisher."""
    gate = Gate(AUTH)
    refusal = gate.refuse()
    assert refusal is not None
    assert (refusal.status, refusal.extra) == (401, [(b"WWW-Authenticate", b'Bearer realm="gripproxy"')])
    assert refusal.body.startswith(b"Unauthorized: there is no Authorization header. Send the key as a bearer token ")
    assert gate.row[Field.UNAUTHORIZED] == 1
    assert gate.refuse(authorization=b"Bearer " + SECRET) is None
    assert gate.refuse(is_public=True) is None
    assert gate.row[Field.UNAUTHORIZED] == 1


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (None, {"origin": b"http://127.0.0.1:5561"}),
        (None, {"origin": b"http://127.0.0.1:5561", "sec_fetch_site": b"same-origin"}),
        (None, {"sec_fetch_site": b"none"}),
        (None, {"sec_fetch_mode": b"cors"}),  # what Node's fetch sends, which is no browser
        (403, {"origin": b"http://127.0.0.1:8000"}),
        (403, {"origin": b"http://127.0.0.1"}),
        (403, {"origin": b"http://evil.example"}),
        (403, {"origin": b"null"}),
        (403, {"origin": b"http://[:x"}),
        (403, {"origin": b"\xff"}),
        (403, {"sec_fetch_site": b"cross-site"}),
        (403, {"sec_fetch_site": b"same-site"}),
        (403, {"sec_fetch_site": b"cross-site", "sec_fetch_mode": b"navigate", "sec_fetch_dest": b"document"}),
    ],
)
@pytest.mark.parametrize("auth", [None, AUTH])
def test_pages_of_other_origins_are_refused(
    status: int | None, headers: dict[str, bytes], auth: ControlAuth | None
) -> None:
    """A browser lets any page post to a port of its user's machine; with a key, too, once it knows the password."""
    assert Gate(auth).status(host=b"127.0.0.1:5561", authorization=b"Bearer " + SECRET, **headers) == status


def test_link_to_a_page_of_ours_may_be_followed() -> None:
    """What is shown to the user does no harm; in a frame it would be shown to him as another's."""
    headers = {"host": b"localhost:5561", "sec_fetch_site": b"cross-site", "sec_fetch_mode": b"navigate"}
    assert Gate().status(b"GET", **headers, sec_fetch_dest=b"document") is None
    assert Gate().status(b"GET", **headers, sec_fetch_dest=b"iframe") == 403


def test_name_that_leads_here_from_outside_is_refused() -> None:
    """A site may resolve its own name to 127.0.0.1, and its pages then are of the same origin as this port."""
    headers = {"host": b"evil.example:5561", "origin": b"http://evil.example:5561", "sec_fetch_site": b"same-origin"}
    assert Gate().status(**headers) == 403
    assert Gate(is_loopback=False).status(**headers) is None
    assert Gate(AUTH).status(authorization=b"Bearer " + SECRET, **headers) is None
    for host in (b"localhost:5561", b"grip.localhost", b"127.0.0.1:1", b"[::1]:5561"):
        assert Gate().status(host=host, sec_fetch_site=b"same-origin") is None
    for host in (b"\xff", b"[", "a\u2100b".encode()):
        assert Gate().status(host=host, sec_fetch_site=b"same-origin") == 403
    assert Gate().status(host=b"evil.example:5561") is None  # no browser


def test_proxy_with_tls_in_front_keeps_the_origin() -> None:
    """Its https has another default port, and this server does not know of it."""
    gate = Gate(AUTH, is_loopback=False)
    key = b"Bearer " + SECRET
    assert gate.status(host=b"push.example", origin=b"https://push.example", authorization=key) is None
    assert gate.status(host=b"push.example", origin=b"https://push.example:444", authorization=key) == 403
