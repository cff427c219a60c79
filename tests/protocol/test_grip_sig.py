"""The token by which an origin knows its proxy."""

import base64
import hmac
import json
from collections.abc import Callable

import jwt
import pytest
from gripcontrol import validate_sig
from hypothesis import example, given
from hypothesis import strategies as st

from gripproxy.errors import ConfigError
from gripproxy.protocol.grip_sig import (
    GOOD_TOKENS_MAX_COUNT,
    TOKEN_REUSE_S,
    GripSigner,
    GripVerifier,
    SigKey,
    decode_sig_key,
    key_file_path,
)

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


def public_pem(private_pem: bytes) -> bytes:
    """Give the public half of a private key."""
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(private_pem, None).public_key()
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def signed(claims: object, secret: bytes = b"k", algorithm: str = "HS256", **header: object) -> bytes:
    """Make a token of any claims."""
    return jwt.PyJWS().encode(json.dumps(claims).encode(), secret, algorithm, headers=header or None).encode()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("claims", "is_good"),
    [
        ({"exp": 1001}, True),
        ({"exp": 1001, "iss": "anybody"}, True),
        ({"exp": 1000}, False),
        ({"exp": 999}, False),
        ({"exp": -1}, False),
        ({"exp": 0}, False),
        ({"exp": 1001.5}, False),
        ({"exp": "1001"}, False),
        ({"exp": True}, False),
        ({"exp": 10**30}, False),
        ({"iss": "pushpin"}, False),
        ([1001], False),
        (None, False),
    ],
)
def test_only_a_whole_expiry_in_the_future_is_good(claims: object, is_good: bool) -> None:
    """No leeway, and a token without an end would be good for ever."""
    assert GripVerifier(SigKey(b"k")).is_good(signed(claims), 1000.0) is is_good


@pytest.mark.filterwarnings("ignore")
def test_tokens_of_others_are_not_good() -> None:
    """Another secret, another algorithm, none at all, and characters that a lenient base64 would skip."""
    verifier = GripVerifier(SigKey(b"k"))
    good = signed({"exp": 2000})
    header, claims, signature = good.split(b".")
    assert verifier.is_good(good, 1000.0)
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=")
    others = [signed({"exp": 2000}, b"other"), signed({"exp": 2000}, algorithm="HS512"), none + b"." + claims + b"."]
    others += [
        header + b"." + claims + b"!." + signature,
        good + b".x",
        good + b"=",
        b"Bearer " + good,
        b"",
        b"..",
        b".",
    ]
    assert [token for token in others if verifier.is_good(token, 1000.0)] == []


@pytest.mark.filterwarnings("ignore")
def test_token_is_not_good_any_longer_than_it_says() -> None:
    """Being remembered must not make it last."""
    verifier = GripVerifier(SigKey(b"k"))
    token = signed({"exp": 2000})
    assert [verifier.is_good(token, when) for when in (1000.0, 1999.9, 2000.0, 1000.0)] == [True, True, False, True]


@pytest.mark.filterwarnings("ignore")
def test_no_more_good_tokens_are_remembered_than_allowed() -> None:
    """The proxy in front may sign each request anew."""
    verifier = GripVerifier(SigKey(b"k"))
    for number in range(GOOD_TOKENS_MAX_COUNT + 10):
        assert verifier.is_good(signed({"exp": 2000, "n": number}), 1000.0)
    assert len(verifier._good) == GOOD_TOKENS_MAX_COUNT


@pytest.mark.parametrize(("kind", "algorithm"), [("ec", "ES256"), ("rsa", "RS256")])
def test_public_key_verifies_what_the_private_one_signed(kind: str, algorithm: str) -> None:
    """And a token that takes the public key for a shared secret is none: the algorithm goes by the key."""
    pem = pem_key(kind)
    public = public_pem(pem)
    key = decode_sig_key("file:key", public, is_upstream=True)
    assert key == SigKey(public, algorithm)
    verifier = GripVerifier(key)
    assert verifier.is_good(signed({"exp": 2000}, pem, algorithm), 1000.0)
    assert not verifier.is_good(signed({"exp": 2000}, pem_key(kind), algorithm), 1000.0)
    header = base64.urlsafe_b64encode(b'{"typ":"JWT","alg":"HS256"}').rstrip(b"=")
    text = header + b"." + base64.urlsafe_b64encode(b'{"exp":2000}').rstrip(b"=")
    forged = base64.urlsafe_b64encode(hmac.digest(public, text, "sha256")).rstrip(b"=")
    assert not verifier.is_good(text + b"." + forged, 1000.0)


def test_half_of_a_key_pair_in_the_wrong_place_is_refused() -> None:
    """A private key must not lie on a machine that only verifies, and a public one cannot sign."""
    pem = pem_key("ec")
    with pytest.raises(ConfigError, match="nor an RSA public key"):
        decode_sig_key("file:key", pem, is_upstream=True)
    with pytest.raises(ConfigError, match="nor an RSA private key"):
        decode_sig_key("file:key", public_pem(pem))


def test_secret_that_looks_like_a_key_pair_is_refused() -> None:
    """The library would refuse it with every request."""
    with pytest.raises(ConfigError, match="belongs into a file"):
        decode_sig_key('{"kty":"oct"}')


@given(st.binary(max_size=200) | st.from_regex(rb"\A[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*\Z"))
@example(base64.urlsafe_b64encode(b"[" * 6000) + b".e30.AA")
@example(base64.urlsafe_b64encode(b'{"alg":["HS256"]}') + b".e30.AA")
@example(base64.urlsafe_b64encode(b'{"alg":"HS256","b64":false,"crit":["b64"]}') + b".e30.AA")
@example(base64.urlsafe_b64encode(b"[]") + b".e30.AA")
def test_outside_bytes_are_never_good_and_never_raise(token: bytes) -> None:
    """The header comes from anybody."""
    assert not GripVerifier(SigKey(b"k")).is_good(token.replace(b"=", b""), 1000.0)
