"""Finds and reads the configuration file, Pushpin's `pushpin.conf` as it is, and makes `Settings` of it."""

import dataclasses
import difflib
import os
from dataclasses import dataclass, field
from typing import Any

from gripproxy.config_keys import KEYS, Key, Kind, Status, is_private_endpoint
from gripproxy.config_values import (
    Surroundings,
    convert,
    cores_count,
    is_true,
)
from gripproxy.errors import ConfigError
from gripproxy.ini import Ini, IniValue, parse_ini, split_value
from gripproxy.listen_address import check_socket_path, convert_port
from gripproxy.log_levels import LogLevels
from gripproxy.settings import SOCKET_NAME_MAX_BYTES, WORKERS_MAX_COUNT, ListenAddress, LocalAddress, Settings

SEARCH_PATHS = ("./config/gripproxy.conf", "./gripproxy.conf", "/etc/gripproxy/gripproxy.conf")
FILE_MAX_BYTES = 1_048_576  # Pushpin's own has 5 KB; a device has no end
INTERNAL_FILE = "internal.conf"  # of Pushpin: the sockets between its processes
PORT_OFFSET_PER_ID = 10  # same as Pushpin's --id
ID_MAX = 6000  # beyond, every shifted port is over 65535
LONGEST_SOCKET_NAME = "x" * SOCKET_NAME_MAX_BYTES
# Without a file the shipped values count, but for these: a routes file there is none, and a known key signs nothing.
UNSET_WITHOUT_FILE = ("routesfile", "sig_key")
SECTIONS = tuple(dict.fromkeys(section for section, _ in KEYS))
MISLEADING_BOOLEANS = ("no", "off", "none", "disabled")


@dataclass(slots=True)
class Overrides:
    """What the command line says instead of the file. None and empty: what the file says."""

    port: str | None = None  # "[addr:]port"; replaces every listener of the file
    routes: tuple[str, ...] = ()  # lines of a routes file; replace the file
    workers: int | None = None  # 0: one per core
    log_level: LogLevels | None = None
    id: int | None = None  # ipc prefix "p<id>-" and port offset id * 10
    rundir: str | None = None


@dataclass(slots=True)
class ConfigReport:
    """All that was found in a configuration. `settings` is None if there are errors."""

    settings: Settings | None = None
    warnings: list[str] = field(default_factory=list)  # "PATH:LINE: TEXT"
    errors: list[ConfigError] = field(default_factory=list)


def load_settings(path: str | None, overrides: Overrides) -> tuple[Settings, list[str]]:
    """Read the configuration: the settings, and warnings of the form ``PATH:LINE: TEXT``.

    Args:
        path: the file that was asked for; None takes the first of `SEARCH_PATHS` there is, or else the defaults.

    Raises:
        ConfigError: the file cannot be read, or values in it are bad; then it names all of them, one a line.
    """
    report = read_config(path, overrides)
    if report.settings is None:
        if len(report.errors) == 1:
            raise report.errors[0]
        raise ConfigError("\n".join(str(error) for error in report.errors))
    return report.settings, report.warnings


def read_config(path: str | None, overrides: Overrides) -> ConfigReport:
    """Read the configuration and report all of its faults instead of raising the first."""
    report = ConfigReport()
    try:
        path = path or next(filter(os.path.isfile, SEARCH_PATHS), None)
        reader = _Reader(None if path is None else os.path.abspath(path), report)
        settings = reader.settings(overrides)
    except ConfigError as error:
        report.errors.append(error)
    if not report.errors:
        report.settings = settings
    report.errors.sort(key=lambda error: (error.path or "", error.line or 0))
    return report


def default_rundir() -> str:
    """Give the run directory where none is configured: one that this user can create."""
    if os.geteuid() == 0:
        return Settings().rundir
    user_runtime_directory = os.environ.get("XDG_RUNTIME_DIR")
    return f"{user_runtime_directory}/gripproxy" if user_runtime_directory else f"/tmp/gripproxy-{os.geteuid()}"


class _Reader:
    """Reads one file with what it includes. Faults of single values go to the report, so that all are found."""

    def __init__(self, path: str | None, report: ConfigReport) -> None:
        self._path = path
        self._report = report
        self._values: Ini = {} if path is None else self._read_file(path)
        self._surroundings = Surroundings(directory=os.path.dirname(path) if path else os.getcwd())

    def settings(self, overrides: Overrides) -> Settings:
        """Put the defaults, the file and the command line together."""
        fields = self._settle_places(overrides)
        fields |= self._convert_all()
        self._settle_routes(overrides, fields)
        self._apply(overrides, fields)
        self._report.warnings += _section_remarks(self._values)
        self._report.warnings += [remark for value in self._values.values() for remark in _remarks(value)]
        if not self._report.errors:
            self._check_whole(fields)
        return dataclasses.replace(Settings(), **fields)

    def _read_file(self, path: str) -> Ini:
        try:
            with open(path, "rb") as file:
                data = file.read(FILE_MAX_BYTES + 1)
        except OSError as error:
            raise ConfigError(f"failed to open config file: {path} ({error.strerror})") from error
        if len(data) > FILE_MAX_BYTES:
            raise ConfigError(f"failed to read config file: {path} (more than {FILE_MAX_BYTES} bytes)")
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("latin-1")  # as Pushpin takes every file
        values, warnings = parse_ini(text, path)
        self._report.warnings += warnings
        return values

    def _settle_places(self, overrides: Overrides) -> dict[str, Any]:
        """Settle what other values are built on: the include, the directories, the prefix and the offset."""
        surroundings = self._surroundings
        places = surroundings.places
        places["libdir"] = self._text("global", "libdir") or Settings().libdir
        self._include()
        places["ipc_prefix"] = self._text("global", "ipc_prefix") or Settings().ipc_prefix
        rundir = overrides.rundir or self._text("global", "rundir") or self._text("runner", "rundir")
        places["rundir"] = os.path.abspath(rundir) if rundir else default_rundir()
        offset = self._convert("port_offset", [KEYS["global", "port_offset"]])
        surroundings.port_offset = offset if isinstance(offset, int) else 0
        if overrides.id is not None:
            if not 0 <= overrides.id <= ID_MAX:
                raise ConfigError(f"id must be greater than or equal to 0 and at most {ID_MAX}, not {overrides.id}")
            places["ipc_prefix"] = f"p{overrides.id}-"
            surroundings.port_offset = overrides.id * PORT_OFFSET_PER_ID
        return {"config_path": self._path, "port_offset": surroundings.port_offset, **places}

    def _include(self) -> None:
        """Add the values of the included file that the main file lacks."""
        name = self._text("global", "include")
        if name == INTERNAL_FILE:
            name = os.path.join(self._surroundings.places["libdir"], name)
        path = os.path.join(self._surroundings.directory, name)
        # Nothing in Pushpin's own included file matters here, so it may be missing where Pushpin is not installed.
        if not name or (os.path.basename(path) == INTERNAL_FILE and not os.path.exists(path)):
            return
        try:
            self._values = self._read_file(path) | self._values
        except ConfigError as error:
            value = self._values["global", "include"]
            raise ConfigError(f"include={value.text}: {error}", value.path, value.line) from error

    def _text(self, section: str, name: str) -> str:
        value = self._values.get((section, name))
        if value is None:
            return ""
        converted = self._convert_value(KEYS[section, name], value)
        return converted if isinstance(converted, str) else ""

    def _convert_all(self) -> dict[str, Any]:
        keys_by_field: dict[str, list[Key]] = {}
        for key in KEYS.values():
            if key.field:
                keys_by_field.setdefault(key.field, []).append(key)
        return {name: self._convert(name, keys) for name, keys in keys_by_field.items()}

    def _convert(self, name: str, keys: list[Key]) -> object:
        """Convert what the file says under these keys, which all mean the same setting."""
        present = [
            (key, self._values[key.section, key.name]) for key in keys if (key.section, key.name) in self._values
        ]
        if not present:
            absent_text = keys[0].missing if self._path else "" if name in UNSET_WITHOUT_FILE else keys[0].shipped
            return convert(keys[0], split_value(absent_text), self._surroundings)
        converted = [self._convert_value(key, value) for key, value in present]
        if keys[0].kind is Kind.SPEC_LIST:
            return tuple(dict.fromkeys(spec for specs in converted if isinstance(specs, tuple) for spec in specs))
        return converted[0]

    def _convert_value(self, key: Key, value: IniValue) -> object:
        """Convert one value; one that is bad is reported, and None for it never gets out, as there is an error."""
        try:
            return convert(key, split_value(value.text), self._surroundings)
        except ValueError as error:
            is_secret = key.kind in (Kind.SIGNING_KEY, Kind.CURVE_KEY) and not value.text.startswith("file:")
            reason = f"{value.key}={'...' if is_secret else value.text}: {error}"
            self._report.errors.append(ConfigError(reason, value.path, value.line))
            return None

    def _settle_routes(self, overrides: Overrides, fields: dict[str, Any]) -> None:
        routesfile = fields["routesfile"]
        if overrides.routes:
            _check_utf8(overrides.routes)
            fields |= {"routesfile": None, "routes": overrides.routes}
        elif routesfile:
            fields |= {"routesfile": os.path.join(self._surroundings.directory, routesfile), "routes": ()}
        else:
            fields["routesfile"] = None
            if self._path:
                fields["routes"] = ()
                self._report.warnings.append(f"{self._path}: no routesfile in [proxy]: every request gets a 502")

    def _apply(self, overrides: Overrides, fields: dict[str, Any]) -> None:
        if overrides.port is not None:
            fields |= {"http_port": (_override_listener(overrides.port),), "https_ports": (), "local_ports": ()}
        if overrides.workers is not None:
            if not 0 <= overrides.workers <= WORKERS_MAX_COUNT:
                raise ConfigError(f"workers must be from 0 to {WORKERS_MAX_COUNT}, not {overrides.workers}")
            fields["workers"] = overrides.workers or cores_count()
        if overrides.log_level is not None:
            fields["log_level"] = overrides.log_level

    def _check_whole(self, fields: dict[str, Any]) -> None:
        """Refuse values that are sound by themselves but not together."""
        self._check_listeners([*fields["http_port"], *fields["https_ports"], *fields["local_ports"]])
        if fields["client_maxconn"] < fields["workers"]:
            numbers = f"client_maxconn={fields['client_maxconn']} is less than the number of workers"
            raise ConfigError(f"{numbers}, {fields['workers']}", self._path)
        try:
            check_socket_path(f"{fields['rundir']}/{fields['ipc_prefix']}{LONGEST_SOCKET_NAME}")
        except ValueError as error:
            raise ConfigError(f"rundir={fields['rundir']}: {error}", self._path) from error

    def _check_listeners(self, listeners: list[ListenAddress | LocalAddress]) -> None:
        if not listeners:
            hint = "set http_port, https_ports or local_ports in [runner]"
            raise ConfigError(f"no server ports configured; {hint}", self._path)
        texts = [str(listener) for listener in listeners]
        repeated = [text for text in texts if texts.count(text) > 1]
        if repeated:
            raise ConfigError(f"{repeated[0]} is listed twice in http_port, https_ports or local_ports", self._path)


def _override_listener(text: str) -> ListenAddress:
    try:
        return convert_port(text)
    except ValueError as error:
        port = text.rpartition(":")[2]
        is_too_small = port.lstrip("-").isdecimal() and int(port) < 1
        reason = "port must be greater than or equal to 1" if is_too_small else str(error)
        raise ConfigError(f"--port {text}: {reason}") from error


def _check_utf8(lines: tuple[str, ...]) -> None:
    """Refuse bytes of the command line that are no text: routes are encoded again, for the requests they match."""
    for line in lines:
        try:
            line.encode()
        except UnicodeEncodeError:
            raise ConfigError(f"--route is not UTF-8: {os.fsencode(line)!r}") from None


def _section_remarks(values: Ini) -> list[str]:
    """Name the sections that mean nothing, once each: what is wrong is their name, not their keys."""
    strangers: dict[str, list[IniValue]] = {}
    for value in values.values():
        if value.section not in SECTIONS and os.path.basename(value.path) != INTERNAL_FILE:
            strangers.setdefault(value.section, []).append(value)
    remarks = []
    for section, members in strangers.items():
        nearest = difflib.get_close_matches(section, SECTIONS, n=1)
        hint = f"; the nearest known section is [{nearest[0]}]" if nearest else ""
        name = f"unknown section [{section}]" if section else "before any [section]"
        keys = ", ".join(value.key for value in members)
        remarks.append(f"{members[0].where}: {name}: without effect: {keys}{hint}")
    return remarks


def _remarks(value: IniValue) -> list[str]:
    """Say what of a value has no effect, or another one than it seems to have."""
    if value.section not in SECTIONS:
        return []
    key = KEYS.get((value.section, value.key))
    asked = _plain_text(value)
    text = ""
    if key is None:
        if os.path.basename(value.path) != INTERNAL_FILE and not is_private_endpoint(value.key):
            text = _unknown_key_remark(value)
    elif key.status is Status.UNSUPPORTED and _asks_for_something(key, asked):
        text = f"{key.name} is not supported by this version and has no effect"
    elif key.status is not Status.UNUSED and key.kind is Kind.BOOLEAN and asked.lower() in MISLEADING_BOOLEANS:
        text = f"{key.name}={asked} means true, as in Pushpin: only false, 0 and nothing are false"
    elif (value.section, value.key) == ("runner", "rundir"):
        text = "rundir in [runner] is deprecated: move it to [global]"
    return [f"{value.where}: {text}"] if text else []


def _plain_text(value: IniValue) -> str:
    """Give a value without its comment and quotes; as it stands if it is broken, which keys without use may be."""
    try:
        return ",".join(split_value(value.text))
    except ValueError:
        return value.text


def _asks_for_something(key: Key, text: str) -> bool:
    if key.kind is Kind.BOOLEAN:
        return is_true(text) != is_true(key.shipped)
    return text not in ("", key.shipped, key.missing)


def _unknown_key_remark(value: IniValue) -> str:
    sections = [section for section, name in KEYS if name == value.key]
    if sections:
        return f"unknown key {value.key} in [{value.section}]: it belongs to [{sections[0]}]"
    names = [name for section, name in KEYS if section == value.section]
    nearest = difflib.get_close_matches(value.key, names, n=1) or difflib.get_close_matches(
        value.key, [name for _, name in KEYS], n=1
    )
    hint = f"; the nearest known key is {nearest[0]}" if nearest else ""
    return f"unknown key {value.key} in [{value.section}]" + hint
