"""The text of one configuration value to what `Settings` holds; says what is wrong with it and what would be right."""

import base64
import binascii
import ipaddress
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from gripproxy.config_keys import Key, Kind
from gripproxy.listen_address import (
    ANY_ADDRESS,
    PORT_MAX,
    check_socket_path,
    convert_listener,
    convert_local,
    convert_port,
)
from gripproxy.log_levels import LogLevels, decode_log_levels
from gripproxy.settings import ForwardedForRule, ForwardedProtocol, ListenAddress, LocalAddress

LOG_EVENTS = ("request", "hold", "publish")
LOG_FORMATS = ("text", "json")

_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")
_DECIMAL_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{0,9})?")
_Z85_KEY = re.compile(r"[0-9A-Za-z.:+=^!/*?&<>()\[\]{}@%$#-]{40}")
_TCP_SPEC = re.compile(r"tcp://(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^\s:/\[\]]+):(?P<port>[0-9]{1,5})")


@dataclass(slots=True)
class Surroundings:
    """What values are built on. `places` are the names that stand in braces: libdir, rundir, ipc_prefix."""

    places: dict[str, str] = field(default_factory=dict)
    port_offset: int = 0
    directory: str = "."  # of the configuration file

    def interpolate(self, text: str) -> str:
        """Replace ``{libdir}``, ``{rundir}`` and ``{ipc_prefix}``."""
        for name, value in self.places.items():
            text = text.replace("{" + name + "}", value)
        return text


def is_true(text: str) -> bool:
    """Read a boolean as Pushpin does: ``no`` and ``off`` are true."""
    return text.lower() not in ("", "0", "false")


def cores_count() -> int:
    """Count the CPU cores that this process may run on: the number of workers if none is configured."""
    return len(os.sched_getaffinity(0))


def convert(key: Key, elements: list[str], surroundings: Surroundings) -> object:
    """Turn a value's elements into what `Settings` holds under `key.field`.

    Raises:
        ValueError: the value is not of the key's kind, or out of its range; the text says what is expected.
    """
    elements = [surroundings.interpolate(element) for element in elements]
    list_converter = _OF_LISTS.get(key.kind)
    if list_converter is not None:
        return list_converter([element for element in elements if element], surroundings)
    if len(elements) > 1:
        raise ValueError('takes one value: put it into "quotes" if the comma belongs to it')
    return _OF_SINGLES[key.kind](key, elements[0], surroundings)


def _integer(key: Key, text: str, _: Surroundings) -> int:
    expected = f"must be a whole number from {key.low:g} to {int(key.high)}" + (f" ({key.unit})" if key.unit else "")
    if not _WHOLE_NUMBER.fullmatch(text) or not key.low <= int(text) <= key.high:
        raise ValueError(expected)
    return int(text)


def _number(key: Key, text: str, _: Surroundings) -> float:
    if not _DECIMAL_NUMBER.fullmatch(text) or not key.low <= float(text) <= key.high:
        raise ValueError(f"must be a number from {key.low:g} to {key.high:g} ({key.unit})")
    return float(text)


def _octal(key: Key, text: str, _: Surroundings) -> int | None:
    if not text:
        return None
    if not re.fullmatch("[0-7]{1,4}", text) or int(text, 8) > key.high:
        raise ValueError("must be an octal file mode from 0 to 777")
    return int(text, 8)


def _workers(key: Key, text: str, surroundings: Surroundings) -> int:
    count = _integer(key, text, surroundings) if text else 0
    return count or cores_count()


def _port(_: Key, text: str, surroundings: Surroundings) -> int | None:
    if text in ("", "0", "-1"):
        return None
    if not _WHOLE_NUMBER.fullmatch(text) or not 0 < int(text) <= PORT_MAX:
        raise ValueError(f"must be a port from 1 to {PORT_MAX}, or empty for none")
    return _shift_port(int(text), surroundings)


def _shift_port(port: int, surroundings: Surroundings) -> int:
    shifted = port + surroundings.port_offset
    if shifted > PORT_MAX:
        raise ValueError(f"with the port offset {surroundings.port_offset} the port is {shifted}, over {PORT_MAX}")
    return shifted


def _address(_: Key, text: str, __: Surroundings) -> str:
    return str(ipaddress.ip_address(text.strip("[]"))) if text else ANY_ADDRESS


def _spec(_: Key, text: str, surroundings: Surroundings) -> str | None:
    return convert_spec(text, surroundings) if text else None


def convert_spec(text: str, surroundings: Surroundings) -> str:
    """Check a ZeroMQ address and add the port offset to its port."""
    if text.startswith("ipc://"):
        check_socket_path(text.removeprefix("ipc://"))
        return text
    spec = _TCP_SPEC.fullmatch(text)
    if spec is None or not 0 < int(spec["port"]) <= PORT_MAX:
        raise ValueError(f"must be tcp://ADDRESS:PORT or ipc://PATH, not {text!r}")
    return f"tcp://{spec['host']}:{_shift_port(int(spec['port']), surroundings)}"


def _metrics_address(_: Key, text: str, __: Surroundings) -> str | None:
    if not text:
        return None
    if text.startswith("ipc://"):
        check_socket_path(text.removeprefix("ipc://"))
        return text
    convert_port(text, "prometheus")
    return text


def _signing_key(_: Key, text: str, surroundings: Surroundings) -> str:
    if text.startswith("base64:"):
        try:
            base64.b64decode(text.removeprefix("base64:"), validate=True)
        except binascii.Error as error:
            raise ValueError("is not valid base64 behind base64:") from error
    return _key_file(text, surroundings) if text.startswith("file:") else text


def _key_file(text: str, surroundings: Surroundings) -> str:
    path = os.path.join(surroundings.directory, text.removeprefix("file:"))
    if not os.access(path, os.R_OK):
        reason = "permission denied" if os.path.exists(path) else "no such file"
        raise ValueError(f"cannot read the key file {path}: {reason}")
    return f"file:{path}"


def _curve_key(_: Key, text: str, surroundings: Surroundings) -> str:
    return _convert_curve_key(text, surroundings) if text else text


def _convert_curve_key(text: str, surroundings: Surroundings) -> str:
    if text.startswith("file:"):
        return _key_file(text, surroundings)
    if not _Z85_KEY.fullmatch(text):
        raise ValueError("must be a key of 40 characters in Z85, or file:PATH")
    return text


def _curve_keys(elements: list[str], surroundings: Surroundings) -> tuple[str, ...]:
    return tuple(_convert_curve_key(element, surroundings) for element in elements)


def _forwarded_protocol(_: Key, text: str, __: Surroundings) -> ForwardedProtocol:
    if text.lower() == "proto-only":
        return ForwardedProtocol.PROTO_ONLY
    # Pushpin turns it off for any word but these, yet an operator who writes "yes" means something.
    if text.lower() not in ("", "0", "false", "true"):
        raise ValueError("must be true, proto-only or false")
    return ForwardedProtocol.BOTH if text.lower() == "true" else ForwardedProtocol.OFF


def _listeners(elements: list[str], _: Surroundings) -> tuple[ListenAddress, ...]:
    return tuple(dict.fromkeys(convert_listener(element, "http") for element in elements))


def _tls_listeners(elements: list[str], _: Surroundings) -> tuple[ListenAddress, ...]:
    return tuple(dict.fromkeys(convert_listener(element, "https") for element in elements))


def _local_listeners(elements: list[str], _: Surroundings) -> tuple[LocalAddress, ...]:
    return tuple(dict.fromkeys(map(convert_local, elements)))


def _log_level(elements: list[str], _: Surroundings) -> LogLevels:
    return decode_log_levels(elements)


def _log_events(elements: list[str], _: Surroundings) -> tuple[str, ...]:
    for element in elements:
        if element not in LOG_EVENTS:
            raise ValueError(f"may hold {', '.join(LOG_EVENTS)}, not {element!r}")
    return tuple(dict.fromkeys(elements))


def _log_format(_: Key, text: str, __: Surroundings) -> str:
    if text not in LOG_FORMATS:
        raise ValueError(f"must be {' or '.join(LOG_FORMATS)}, not {text!r}")
    return text


def _forwarded_for(elements: list[str], _: Surroundings) -> ForwardedForRule:
    truncate = None
    for element in elements:
        name, _separator, count = element.partition(":")
        if name == "truncate" and re.fullmatch("[0-9]{1,9}", count):
            truncate = int(count)
        elif element != "append":
            raise ValueError(f"may hold truncate:N and append, not {element!r}")
    return ForwardedForRule(truncate=truncate, is_append="append" in elements)


def _networks(elements: list[str], _: Surroundings) -> tuple[str, ...]:
    return tuple(dict.fromkeys(element if element == "unix:" else _network(element) for element in elements))


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise ValueError(f"must be a list of ADDRESS, ADDRESS/BITS or unix: ({error})") from None


def _text(_: Key, text: str, __: Surroundings) -> str:
    if not text.isprintable():  # it may become a path, a name or part of a header
        raise ValueError("has a control character")
    return text


def _texts(elements: list[str], _: Surroundings) -> tuple[str, ...]:
    return tuple(elements)


def _specs(elements: list[str], surroundings: Surroundings) -> tuple[str, ...]:
    return tuple(convert_spec(element, surroundings) for element in elements)


_OF_SINGLES: dict[Kind, Callable[[Key, str, Surroundings], object]] = {
    Kind.BOOLEAN: lambda _, text, __: is_true(text),
    Kind.INTEGER: _integer,
    Kind.NUMBER: _number,
    Kind.OCTAL: _octal,
    Kind.TEXT: _text,
    Kind.SPEC: _spec,
    Kind.FORWARDED_PROTOCOL: _forwarded_protocol,
    Kind.ADDRESS: _address,
    Kind.PORT: _port,
    Kind.WORKERS: _workers,
    Kind.SIGNING_KEY: _signing_key,
    Kind.METRICS_ADDRESS: _metrics_address,
    Kind.CURVE_KEY: _curve_key,
    Kind.LOG_FORMAT: _log_format,
}
_OF_LISTS: dict[Kind, Callable[[list[str], Surroundings], object]] = {
    Kind.LISTENERS: _listeners,
    Kind.TLS_LISTENERS: _tls_listeners,
    Kind.LOCAL_LISTENERS: _local_listeners,
    Kind.LOG_LEVEL: _log_level,
    Kind.LOG_EVENTS: _log_events,
    Kind.FORWARDED_FOR: _forwarded_for,
    Kind.TEXT_LIST: _texts,
    Kind.NETWORKS: _networks,
    Kind.SPEC_LIST: _specs,
    Kind.CURVE_KEYS: _curve_keys,
}
