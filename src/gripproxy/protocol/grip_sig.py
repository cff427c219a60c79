"""Grip-Sig: the token by which an origin knows that a request came through its proxy."""

import base64
import binascii
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import jwt
import orjson

from gripproxy.errors import ConfigError

TOKEN_LIFE_S = 3600  # same as Pushpin
TOKEN_REUSE_S = 10.0  # signing costs more than all the other headers of a request; Pushpin signs each one

_FILE_PREFIX = "file:"
_BASE64_PREFIX = "base64:"


@dataclass(frozen=True, slots=True)
class SigKey:
    """A key that can sign. `secret` is the raw secret, or a private key in PEM for ES256 and RS256."""

    secret: bytes
    algorithm: str = "HS256"


def key_file_path(text: str) -> str | None:
    """Give the path in a key setting ``file:PATH``, None for the other forms."""
    return text.removeprefix(_FILE_PREFIX) if text.startswith(_FILE_PREFIX) else None


def decode_sig_key(text: str, file_content: bytes | None = None) -> SigKey | None:
    """Read a key setting: None for an empty one, else text, ``base64:...`` or ``file:PATH``.

    Args:
        file_content: what the file of ``file:PATH`` holds: a private key in PEM, or a secret in hex.

    Raises:
        ConfigError: there is no usable key in it. An empty secret is none: anybody could sign with it.

    Source: Pushpin's key forms; there, an empty setting was an empty secret until 1.41.
    """
    if not text:
        return None
    if text.startswith(_FILE_PREFIX):
        return _decode_key_file(file_content or b"")
    try:
        if text.startswith(_BASE64_PREFIX):
            secret = base64.b64decode(text.removeprefix(_BASE64_PREFIX), validate=True)
        else:
            secret = text.encode()
    except (binascii.Error, ValueError):
        raise ConfigError("key is not valid base64 behind base64:") from None
    return _checked_secret(secret)


def _decode_key_file(content: bytes) -> SigKey:
    if content.startswith(b"-----BEGIN"):
        for algorithm in ("ES256", "RS256"):
            key = SigKey(content, algorithm)
            try:
                _encode_token(key, b"{}")
            except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
                continue
            except NotImplementedError:
                raise ConfigError("a key in PEM needs the Python package cryptography") from None
            return key
        raise ConfigError("key file holds neither an EC P-256 nor an RSA private key")
    try:
        return _checked_secret(bytes.fromhex(content.strip().decode("ascii")))
    except ValueError:  # and UnicodeDecodeError
        raise ConfigError("key file holds neither PEM nor hex digits") from None


def _checked_secret(secret: bytes) -> SigKey:
    if not secret:
        raise ConfigError("key is empty")
    return SigKey(secret)


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
