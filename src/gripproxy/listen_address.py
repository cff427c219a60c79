"""The text of a listener in the configuration to where it listens: a port, an address and a port, or a socket file."""

import grp
import ipaddress
import os
import pwd
import re
from collections.abc import Callable

from gripproxy.settings import SOCKET_PATH_MAX_BYTES, ListenAddress, LocalAddress

PORT_MAX = 65_535
ANY_ADDRESS = "0.0.0.0"
MODE_MAX = 0o777
MAXCONN_MAX = 100_000_000

_DIGITS = re.compile("[0-9]{1,9}")


def convert_port(text: str, kind: str = "http") -> ListenAddress:
    """Read ``PORT``, ``ADDRESS:PORT`` or ``[V6]:PORT``; without an address it is every IPv4 one, as in Pushpin.

    Raises:
        ValueError: it is none of these. Addresses are numeric: a name could mean several.
    """
    host, separator, port = text.rpartition(":")
    try:
        address = ipaddress.ip_address(host.strip("[]") if separator else ANY_ADDRESS)
        is_bracketed = host.startswith("[") and host.endswith("]")
        if separator and is_bracketed != (address.version == 6):
            raise ValueError
        if not re.fullmatch(r"[+]?[0-9]{1,9}", port) or not 0 < int(port) <= PORT_MAX:
            raise ValueError
    except ValueError:
        expected = f"expected PORT, ADDRESS:PORT or [V6]:PORT with a port from 1 to {PORT_MAX}"
        raise ValueError(f"invalid {kind} port: {text} ({expected})") from None
    return ListenAddress(host=str(address), port=int(port))


def convert_listener(text: str, kind: str) -> ListenAddress:
    """Read what `convert_port` reads, with ``?maxconn=N&proxy_protocol=true`` behind it, each optional.

    Raises:
        ValueError: it is none of these.
    """
    address, options = _split_options(text, ("maxconn", "proxy_protocol"))
    port = convert_port(address, kind)
    return ListenAddress(
        host=port.host, port=port.port, maxconn=_maxconn(options), proxy_protocol=_proxy_protocol(options)
    )


def convert_local(text: str) -> LocalAddress:
    """Read ``PATH`` of a unix socket, with options behind it, each optional.

    These are ``?mode=OCTAL&user=NAME&group=NAME&maxconn=N&proxy_protocol=true``.

    Raises:
        ValueError: it is none of these, or this system knows no such user or group.
    """
    path, options = _split_options(text, ("mode", "user", "group", "maxconn", "proxy_protocol"))
    check_socket_path(path)
    mode = options.get("mode")
    if mode is not None and (not re.fullmatch("[0-7]{1,4}", mode) or int(mode, 8) > MODE_MAX):
        raise ValueError(f"mode must be an octal file mode from 0 to 777, not {mode!r}")
    return LocalAddress(
        path=os.path.abspath(path),
        mode=None if mode is None else int(mode, 8),
        user_id=_owner_id(options, "user", lambda name: pwd.getpwnam(name).pw_uid),
        group_id=_owner_id(options, "group", lambda name: grp.getgrnam(name).gr_gid),
        maxconn=_maxconn(options),
        proxy_protocol=_proxy_protocol(options),
    )


def is_loopback_host(host: str) -> bool:
    """Tell an address that only this machine reaches; ``localhost`` is one, other names are not looked up."""
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def check_socket_path(path: str) -> None:
    """Refuse what cannot be the path of a unix socket.

    Raises:
        ValueError: it is empty, or longer than the kernel takes.
    """
    size_bytes = len(os.fsencode(path))
    if not path:
        raise ValueError("names no socket file")
    if size_bytes > SOCKET_PATH_MAX_BYTES:
        excess = f"{size_bytes} bytes, and a unix socket's path has at most {SOCKET_PATH_MAX_BYTES}"
        raise ValueError(f"the socket path {path} has {excess}: choose a shorter rundir")


def _split_options(text: str, names: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    address, separator, rest = text.partition("?")
    options: dict[str, str] = {}
    for part in rest.split("&") if separator else ():
        name, equals, value = part.partition("=")
        if name not in names or not equals or not value:
            expected = " or ".join(f"{name}=VALUE" for name in names)
            raise ValueError(f"{text}: expected {expected} behind ?, not {part!r}")
        options[name] = value
    return address, options


def _maxconn(options: dict[str, str]) -> int | None:
    text = options.get("maxconn")
    if text is None:
        return None
    if not _DIGITS.fullmatch(text) or not 0 < int(text) <= MAXCONN_MAX:
        raise ValueError(f"maxconn must be a whole number from 1 to {MAXCONN_MAX}, not {text!r}")
    return int(text)


def _proxy_protocol(options: dict[str, str]) -> bool:
    text = options.get("proxy_protocol", "false")
    if text not in ("true", "false"):
        raise ValueError(f"proxy_protocol must be true or false, not {text!r}")
    return text == "true"


def _owner_id(options: dict[str, str], kind: str, look_up: Callable[[str], int]) -> int | None:
    name = options.get(kind)
    if name is None:
        return None
    if _DIGITS.fullmatch(name):
        return int(name)
    try:
        return look_up(name)
    except KeyError:
        raise ValueError(f"this system knows no {kind} {name!r}") from None
