"""The token by which an origin knows its proxy."""

import base64
import json
from collections.abc import Callable

import jwt
import pytest
from gripcontrol import validate_sig

from gripproxy.errors import ConfigError
from gripproxy.protocol.grip_sig import TOKEN_REUSE_S, GripSigner, SigKey, decode_sig_key, key_file_path

UNIX_TIME_S = 4_000_000_000.9  # far in the future, so that the tokens are valid for libraries that read the clock


def at(unix_time_s: float) -> Callable[[], float]:
    return lambda: unix_time_s


def decode_part(part: bytes) -> bytes:
    return base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))


def pem_key(kind: str) -> bytes:
    """Make a private key."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    makers = {
        "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
        "ed": ed25519.Ed25519PrivateKey.generate,
    }
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    pem: bytes = makers[kind]().private_bytes(encoding, form, serialization.NoEncryption())
    return pem


def test_token_is_pushpins_to_the_byte() -> None:
    """Origins that compare more than they should see no difference: member order and whole seconds."""
    token = GripSigner("pushpin", SigKey(b"changeme")).token(0.0, at(UNIX_TIME_S))
    header, claims, _ = token.split(b".")
    assert decode_part(header) == b'{"typ":"JWT","alg":"HS256"}'
    assert decode_part(claims) == b'{"exp":4000003600,"iss":"pushpin"}'


def test_origin_library_accepts_the_token() -> None:
    """What django-grip calls for each request."""
    token = GripSigner("pushpin", SigKey(b"changeme")).token(0.0, at(UNIX_TIME_S)).decode()
    assert validate_sig(token, b"changeme", "pushpin")
    assert not validate_sig(token, b"other", "pushpin")


def test_token_is_used_for_some_seconds() -> None:
    """Signing each request would cost more than the rest of its headers; the wall clock is not asked either."""
    signer = GripSigner("pushpin", SigKey(b"changeme"))
    first = signer.token(100.0, at(1000.0))
    assert signer.token(100.0 + TOKEN_REUSE_S - 0.1, at(5000.0)) == first
    renewed = signer.token(100.0 + TOKEN_REUSE_S, at(1010.0))
    assert json.loads(decode_part(renewed.split(b".")[1]))["exp"] == 4610


@pytest.mark.parametrize(
    ("text", "content", "secret"),
    [
        ("changeme", None, b"changeme"),
        ("é", None, "é".encode()),
        ("base64:AAE=", None, b"\0\1"),
        ("file:key", b" 00fF\n", b"\x00\xff"),
    ],
)
def test_secret_forms(text: str, content: bytes | None, secret: bytes) -> None:
    """The forms of Pushpin's sig_key."""
    assert decode_sig_key(text, content) == SigKey(secret, "HS256")


def test_empty_setting_is_no_key() -> None:
    """An empty secret would let anybody make valid tokens."""
    assert decode_sig_key("") is None


@pytest.mark.parametrize(
    ("text", "content", "message"),
    [
        ("base64:A", None, "not valid base64"),
        ("base64:é", None, "not valid base64"),
        ("base64:", None, "key is empty"),
        ("file:key", b"", "key is empty"),
        ("file:key", b"xyz", "neither PEM nor hex"),
        ("file:key", b"\xff", "neither PEM nor hex"),
    ],
)
def test_unusable_keys_are_refused(text: str, content: bytes | None, message: str) -> None:
    """Signing with half a key is found out only when the origin refuses everybody."""
    with pytest.raises(ConfigError, match=message):
        decode_sig_key(text, content)


def test_broken_pem_is_refused() -> None:
    """With or without the package that reads PEM."""
    with pytest.raises(ConfigError, match=r"neither an EC P-256 nor an RSA|needs the Python package"):
        decode_sig_key("file:key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")


@pytest.mark.parametrize(("kind", "algorithm"), [("ec", "ES256"), ("rsa", "RS256")])
def test_pem_key_chooses_the_algorithm(kind: str, algorithm: str) -> None:
    """EC is tried before RSA, as in Pushpin."""
    pem = pem_key(kind)
    key = decode_sig_key("file:key", pem)
    assert key == SigKey(pem, algorithm)
    token = GripSigner("pushpin", key).token(0.0, at(UNIX_TIME_S))
    assert jwt.get_unverified_header(token)["alg"] == algorithm


def test_pem_key_of_another_kind_is_refused() -> None:
    """GRIP knows no other algorithm."""
    with pytest.raises(ConfigError, match="neither an EC"):
        decode_sig_key("file:key", pem_key("ed"))


def test_key_file_path() -> None:
    """Whoever may open files asks which."""
    assert key_file_path("file:/etc/key") == "/etc/key"
    assert key_file_path("base64:AAE=") is None
    assert key_file_path("changeme") is None
