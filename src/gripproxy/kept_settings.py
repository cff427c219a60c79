"""The settings that an instance runs with, as JSON in its run directory: those that a reload has let take effect.

The processes of the instance read them from there when they are told to, and so does `gripproxy check`, to compare.
"""

import contextlib
import dataclasses
import json  # orjson refuses names of files that are no text
import os
from typing import Any

from gripproxy.kept_file import read_kept_file, write_kept_file
from gripproxy.log_levels import LogLevels
from gripproxy.settings import ForwardedForRule, ForwardedProtocol, ListenAddress, LocalAddress, Settings

KEPT_NAME = "settings.kept"  # in the run directory
FILE_MAX_CHARS = 16_777_216  # sixteen times the largest configuration

# The dataclasses in `Settings`: such a value is written with the name of its type.
_TYPES = {each.__name__: each for each in (ListenAddress, LocalAddress, ForwardedForRule, LogLevels)}


def keep_settings(settings: Settings, pid: int | None = None) -> None:
    """Keep them for the processes of this generation, whose supervisor has that pid: this one's, if none is given.

    Raises:
        OSError: they cannot be written.
    """
    write_kept_file(settings.own_ipc_path(KEPT_NAME), encode_settings(settings, pid or os.getpid()))


def forget_settings(settings: Settings) -> None:
    """Keep none any more."""
    with contextlib.suppress(OSError):
        write_kept_file(settings.own_ipc_path(KEPT_NAME), None)


def find_running(settings: Settings) -> tuple[int, Settings] | None:
    """Give the supervisor's pid and the settings of the instance that runs in these settings' run directory.

    None: there is none, or this user may not know. During an upgrade it is the new version.
    """
    found: list[tuple[int, int, Settings]] = []
    for generation in (0, 1):
        own = dataclasses.replace(settings, generation=generation)
        kept = _read(own)
        if kept is not None and os.path.exists(f"/proc/{kept[0]}"):  # else it was killed
            found.append((kept[1].generation, *kept))
    return max(found, key=lambda each: each[0])[1:] if found else None


def read_kept_settings(settings: Settings) -> Settings | None:
    """Give what the instance of these settings' run directory keeps, None if there is nothing that can be read."""
    kept = _read(settings)
    return None if kept is None else kept[1]


def _read(settings: Settings) -> tuple[int, Settings] | None:
    text = read_kept_file(settings.own_ipc_path(KEPT_NAME), FILE_MAX_CHARS)
    try:
        return None if text is None else (int(json.loads(text)["pid"]), decode_settings(text))
    except (ValueError, TypeError, KeyError):
        return None


def encode_settings(settings: Settings, pid: int) -> str:
    """Write settings so that `decode_settings` reads the same, and whose they are."""
    return json.dumps({"pid": pid, **_fields(settings)}, default=_encode_value)


def decode_settings(text: str) -> Settings:
    """Read settings. Fields of another version's that this one lacks mean nothing.

    Raises:
        ValueError, TypeError: it is something else.
    """
    values = json.loads(text)
    if not isinstance(values, dict):
        raise ValueError("not an object")
    fields = _known(Settings, {name: _decode_value(value) for name, value in values.items()})
    if "set_x_forwarded_protocol" in fields:
        fields["set_x_forwarded_protocol"] = ForwardedProtocol(fields["set_x_forwarded_protocol"])
    return Settings(**fields)


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _encode_value(value: object) -> object:
    if type(value).__name__ in _TYPES:
        return {type(value).__name__: _fields(value)}
    raise TypeError(f"no setting is a {type(value).__name__}")


def _decode_value(value: object) -> object:
    if isinstance(value, list):
        return tuple(map(_decode_value, value))
    if isinstance(value, dict):
        ((name, fields),) = value.items()
        if name not in _TYPES:
            raise ValueError(f"no setting is a {name}")
        return _TYPES[name](**_known(_TYPES[name], fields))
    return value


def _known(of_type: Any, values: dict[str, Any]) -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(of_type)}
    return {name: value for name, value in values.items() if name in names}
