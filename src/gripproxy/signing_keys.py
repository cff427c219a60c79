"""Reads the keys that the settings and the routes name: to sign Grip-Sig with, and to verify what others signed."""

import os
from collections.abc import Iterable

from gripproxy.errors import ConfigError
from gripproxy.key_file import read_key_file
from gripproxy.protocol.grip_sig import SigKey, decode_sig_key, key_file_path
from gripproxy.protocol.route import Route
from gripproxy.settings import Settings


def read_signing_keys(settings: Settings, routes: Iterable[Route]) -> tuple[dict[str, SigKey], list[str]]:
    """Read every `sig_key`; give the keys by the setting's text, and warnings for routes whose key is unusable.

    Requests of such a route go unsigned. A relative path in a route counts from the routes file's directory, or from
    the working directory with ``--route``.

    Raises:
        ConfigError: the key of the settings is unusable.
    """
    keys: dict[str, SigKey] = {}
    warnings = []
    key = _read_key("sig_key", settings.sig_key)
    if key is not None:
        keys[settings.sig_key] = key
    directory = os.path.dirname(settings.routesfile or "")
    for route in routes:
        text = route.sig_key
        if not text or text in keys:
            continue
        try:
            key = _read_key("sig_key", text, directory)
        except ConfigError as error:
            warnings.append(f"route {route.id}: {error}; its requests go without Grip-Sig")
            continue
        if key is not None:
            keys[text] = key
    return keys, warnings


def read_upstream_key(settings: Settings) -> SigKey | None:
    """Read the key with which GRIP proxies in front prove themselves; None where nobody is to be trusted.

    Raises:
        ConfigError: it is unusable.
    """
    return _read_key("upstream_key", settings.upstream_key, is_upstream=True)


def read_publish_key(settings: Settings) -> SigKey | None:
    """Read the key with which users of the control port prove themselves; None where everybody may use it.

    Raises:
        ConfigError: it is unusable.
    """
    return _read_key("push_in_http_key", settings.push_in_http_key, is_upstream=True)


def _read_key(name: str, text: str, directory: str = "", is_upstream: bool = False) -> SigKey | None:
    content = None
    path = key_file_path(text)
    if path is not None:
        content = read_key_file(name, path, directory)
    try:
        return decode_sig_key(text, content, is_upstream)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}", path) from error
