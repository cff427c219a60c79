"""Grip-Sig: the token by which an origin knows that a request came through its proxy."""

import base64
import binascii
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jwt
import orjson

from gripproxy.errors import ConfigError

TOKEN_LIFE_S = 3600  # same as Pushpin
TOKEN_REUSE_S = 10.0  # signing costs more than all the other headers of a request; Pushpin signs each one
GOOD_TOKENS_MAX_COUNT = 256  # remembered by a worker: a proxy in front may use each of its own for some time

_TOKEN = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")  # Python's base64 would skip other characters
# All that PyJWT was seen to raise for outside bytes, a header of thousands of brackets included.
_NOT_A_TOKEN = (jwt.PyJWTError, ValueError, TypeError, AttributeError, RecursionError)

_FILE_PREFIX = "file:"
_BASE64_PREFIX = "base64:"


@dataclass(frozen=True, slots=True)
class SigKey:
    """A key that signs or verifies. `secret` is the raw secret; for ES256 and RS256 it is a PEM, private or public."""

    secret: bytes
    algorithm: str = "HS256"


def key_file_path(text: str) -> str | None:
    """Give the path in a key setting ``file:PATH``, None for the other forms."""
    return text.removeprefix(_FILE_PREFIX) if text.startswith(_FILE_PREFIX) else None


def decode_sig_key(text: str, file_content: bytes | None = None, is_upstream: bool = False) -> SigKey | None:
    """Read a key setting: None for an empty one, else text, ``base64:...`` or ``file:PATH``.

    Args:
        file_content: what the file of ``file:PATH`` holds: a key in PEM, or a secret in hex.
        is_upstream: the key is to verify, so that its PEM must be a public one; else a private one.

    Raises:
        ConfigError: there is no usable key in it. An empty secret is none: anybody could sign with it.

    Source: Pushpin's key forms; there, an empty setting was an empty secret until 1.41.
    """
    if not text:
        return None
    if text.startswith(_FILE_PREFIX):
        return _decode_key_file(file_content or b"", is_upstream)
    try:
        if text.startswith(_BASE64_PREFIX):
            secret = base64.b64decode(text.removeprefix(_BASE64_PREFIX), validate=True)
        else:
            secret = text.encode()
    except (binascii.Error, ValueError):
        raise ConfigError("key is not valid base64 behind base64:") from None
    return _checked_secret(secret)


def _decode_key_file(content: bytes, is_upstream: bool) -> SigKey:
    if content.startswith(b"-----BEGIN"):
        for algorithm in ("ES256", "RS256"):
            key = SigKey(content, algorithm)
            try:
                # Only public keys verify; private ones could, and would lie where they do not belong.
                if hasattr(_prepared(key), "verify") is is_upstream:
                    return key
            except _NOT_A_TOKEN:
                continue
            except NotImplementedError:
                raise ConfigError("a key in PEM needs the Python package cryptography") from None
        wanted = "public" if is_upstream else "private"
        raise ConfigError(f"key file holds neither an EC P-256 nor an RSA {wanted} key")
    try:
        return _checked_secret(bytes.fromhex(content.strip().decode("ascii")))
    except ValueError:  # and UnicodeDecodeError
        raise ConfigError("key file holds neither PEM nor hex digits") from None


def _checked_secret(secret: bytes) -> SigKey:
    if not secret:
        raise ConfigError("key is empty")
    key = SigKey(secret)
    try:
        _prepared(key)
    except jwt.PyJWTError:
        raise ConfigError("key looks like a PEM, SSH or JWK key, which belongs into a file") from None
    return key


def _prepared(key: SigKey) -> Any:
    """Give the key as PyJWT signs and verifies with it: reading a PEM costs more than using it."""
    return jwt.PyJWS().get_algorithm_by_name(key.algorithm).prepare_key(key.secret)


def _encode_token(key: SigKey, claims: bytes) -> bytes:
    with warnings.catch_warnings():
        # PyJWT warns of short secrets on each use; the shipped configuration's own is short.
        warnings.simplefilter("ignore")
        token = jwt.PyJWS().encode(claims, key.secret, key.algorithm, sort_headers=False)
    return token.encode()


class GripSigner:
    """Makes the tokens of one issuer and key, and uses each for a while."""

    __slots__ = ("_issuer", "_key", "_renew_at", "_token")

    def __init__(self, issuer: str, key: SigKey) -> None:
        self._issuer = issuer
        self._key = key
        self._token = b""
        self._renew_at = float("-inf")

    def token(self, now: float, unix_time: Callable[[], float]) -> bytes:
        """Give a token that is valid for almost an hour.

        Args:
            now: monotonic seconds.
            unix_time: gives the wall clock's seconds since 1970; asked only when a new token is due.
        """
        if now >= self._renew_at:
            claims = {"exp": int(unix_time()) + TOKEN_LIFE_S, "iss": self._issuer}
            self._token = _encode_token(self._key, orjson.dumps(claims))
            self._renew_at = now + TOKEN_REUSE_S
        return self._token


class GripVerifier:
    """Tells whether the tokens of a proxy in front of this one are good. One that was is not verified again.

    Source: Pushpin's `upstream_key`. There is no leeway for clocks, and who issued a token does not matter.
    """

    def __init__(self, key: SigKey) -> None:
        self._jws = jwt.PyJWS()
        self._algorithms = [key.algorithm]  # never the token's own choice
        self._key = _prepared(key)
        self._good: dict[bytes, int] = {}  # token -> when it expires, the oldest first

    def is_good(self, token: bytes, unix_time_s: float) -> bool:
        """Whether `token` was signed with the key and has not expired. Outside bytes of any kind are just not good."""
        expires_s = self._good.get(token)
        if expires_s is None:
            expires_s = self._verify(token)
            if expires_s is None or expires_s <= unix_time_s:
                return False
            if len(self._good) >= GOOD_TOKENS_MAX_COUNT:
                del self._good[next(iter(self._good))]
            self._good[token] = expires_s
        elif expires_s <= unix_time_s:
            del self._good[token]
            return False
        return True

    def claims(self, token: bytes) -> dict[str, object] | None:
        """Give what a rightly signed token says, whether or not it has expired; None for any other."""
        if _TOKEN.fullmatch(token) is None:
            return None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                claims = orjson.loads(self._jws.decode(token, self._key, self._algorithms))
        except _NOT_A_TOKEN:
            return None
        return claims if isinstance(claims, dict) else None

    def _verify(self, token: bytes) -> int | None:
        """Give when a rightly signed token expires, None for any other."""
        claims = self.claims(token)
        expires_s = None if claims is None else claims.get("exp")
        return expires_s if type(expires_s) is int and expires_s > 0 else None
