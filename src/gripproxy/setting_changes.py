"""What differs between the settings that run and those that are wanted, and which of it can change in place. Pure."""

import dataclasses
from dataclasses import dataclass

from gripproxy.config_keys import KEYS, Kind, Status
from gripproxy.log_levels import LogLevels
from gripproxy.settings import ForwardedForRule, ForwardedProtocol, ListenAddress, LocalAddress, Settings

# Of keys with the same field the first in the table counts.
_KEYS_BY_FIELD = {key.field or key.name: key for key in reversed(KEYS.values()) if key.status is Status.USED}
_SECRET_KINDS = (Kind.SIGNING_KEY, Kind.CURVE_KEY)
# What no file says: they stay, or follow from others.
_WITHOUT_KEY = ("generation", "config_path", "routes")
_FORWARDED_PROTOCOLS = {
    ForwardedProtocol.OFF: "false",
    ForwardedProtocol.PROTO_ONLY: "proto-only",
    ForwardedProtocol.BOTH: "true",
}


@dataclass(frozen=True, slots=True)
class SettingChange:
    """One setting whose value is to be another one. As text it has its name, the old value and the new one."""

    name: str
    old: object
    new: object

    @property
    def needs_restart(self) -> bool:
        return _KEYS_BY_FIELD[self.name].needs_restart

    def __str__(self) -> str:
        key = _KEYS_BY_FIELD[self.name]
        old, new = (
            "(secret)" if key.kind in _SECRET_KINDS and text and not text.startswith("file:") else text or "(empty)"
            for text in (_text(self.old, key.kind is Kind.OCTAL), _text(self.new, key.kind is Kind.OCTAL))
        )
        return f"{key.name} ({'another secret' if old == new else f'{old} -> {new}'})"


def compare_settings(running: Settings, wanted: Settings) -> list[SettingChange]:
    """List the differences in the order of the settings."""
    names = [field.name for field in dataclasses.fields(Settings) if field.name not in _WITHOUT_KEY]
    pairs = [(name, getattr(running, name), getattr(wanted, name)) for name in names]
    return [SettingChange(name, old, new) for name, old, new in pairs if old != new]


def settle_settings(running: Settings, wanted: Settings) -> Settings:
    """Give the wanted settings as far as they can change in place."""
    stays = {name for name, key in _KEYS_BY_FIELD.items() if key.needs_restart} | {"generation", "config_path"}
    names = [field.name for field in dataclasses.fields(Settings) if field.name in stays]
    return dataclasses.replace(wanted, **{name: getattr(running, name) for name in names})


def _text(value: object, is_octal: bool = False) -> str:
    """Show a value as a configuration file would say it."""
    if is_octal and isinstance(value, int):
        return f"{value:o}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, ForwardedProtocol):
        return _FORWARDED_PROTOCOLS[value]
    if isinstance(value, LogLevels):
        levels = [
            f"{name}:{getattr(value, name)}" for name in ("hub", "worker") if getattr(value, name) != value.supervisor
        ]
        return ",".join([str(value.supervisor), *levels])
    if isinstance(value, ForwardedForRule):
        kept = [] if value.truncate is None else [f"truncate:{value.truncate}"]
        return ",".join(kept + ["append"] * value.is_append)
    if isinstance(value, tuple):
        return ",".join(map(_text, value))
    if isinstance(value, ListenAddress | LocalAddress):
        options = "&".join(_options(value))
        return f"{value}?{options}" if options else str(value)
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else str(value)


def _options(address: ListenAddress | LocalAddress) -> list[str]:
    """List what stands behind the ``?`` of a listener."""
    fields = [field for field in dataclasses.fields(address) if field.name not in ("host", "port", "path")]
    values = [
        (field.name, getattr(address, field.name)) for field in fields if getattr(address, field.name) != field.default
    ]
    return [f"{name.removesuffix('_id')}={_text(value, name == 'mode')}" for name, value in values]
