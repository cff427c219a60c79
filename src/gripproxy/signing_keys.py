"""Reads the keys that the settings and the routes name for Grip-Sig."""

import os
from collections.abc import Iterable

from gripproxy.errors import ConfigError
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
    _add_key(keys, settings.sig_key, "")
    directory = os.path.dirname(settings.routesfile or "")
    warnings = []
    for route in routes:
        try:
            _add_key(keys, route.sig_key or "", directory)
        except ConfigError as error:
            warnings.append(f"route {route.id}: {error}; its requests go without Grip-Sig")
    return keys, warnings


def _add_key(keys: dict[str, SigKey], text: str, directory: str) -> None:
    if text in keys:
        return
    content = None
    path = key_file_path(text)
    if path is not None:
        try:
            with open(os.path.join(directory, path), "rb") as file:
                content = file.read()
        except OSError as error:
            raise ConfigError(f"sig_key: cannot read the key file: {error.strerror}", path) from error
    try:
        key = decode_sig_key(text, content)
    except ConfigError as error:
        raise ConfigError(f"sig_key: {error}", path) from error
    if key is not None:
        keys[text] = key
