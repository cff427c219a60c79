"""One target of a route: an origin that its requests go to, or what answers in its place."""

import re
from dataclasses import dataclass

from gripproxy.protocol.route_line import RouteLineError, Section
from gripproxy.settings import SOCKET_PATH_MAX_BYTES

PORT_MAX = 65_535
UNIX_PREFIX = "unix:"  # as nginx writes it
ZHTTP_KINDS = ("zhttp", "zhttpreq")
ZHTTP_PORTS_COUNT = 3  # a zhttp target takes the port it names and the next two
ZHTTP_SUFFIX_MAX_BYTES = len("-out-stream")  # of the socket files that a zhttp target makes of its path

TARGET_FLAGS = frozenset({"ssl", "insecure", "trust_connect_host", "untrusted", "over_http", "one_event"})
SUPPORTED_TARGET = TARGET_FLAGS | {"host", "sub", "client_cert", "client_key", "ipc_file_mode"}

_HOST_VALUE = re.compile(r"[^\x00-\x20\x7f/?#@\\]+")
_ZHTTP_SPEC = re.compile(r"tcp://[^\x00-\x20\x7f/]+:([0-9]{1,5})|ipc://([^\x00-\x1f\x7f]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An origin that a route's requests go to.

    It is reached in one of four ways: by `host` and `port`, by `unix_path`, by `zhttp_spec`, or, for ``test``, it is
    the built-in responder. What belongs to the other ways says nothing.
    """

    host: str = ""
    port: int = 0
    unix_path: str | None = None
    zhttp_spec: str | None = None  # "tcp://..." or "ipc://...": what we bind for handlers to connect to
    is_zhttpreq: bool = False  # whole requests and responses instead of streams
    ipc_file_mode: int | None = None  # of the socket files of an ipc:// spec
    is_test: bool = False
    is_ssl: bool = False
    insecure: bool = False  # any server certificate will do
    trust_connect_host: bool = False  # the certificate must name `host`, not the request's Host
    client_cert: str | None = None  # paths of PEM files, for an origin that wants to know who asks
    client_key: str | None = None
    untrusted: bool = False  # must not lead into our own network
    host_header: str | None = None  # the Host sent to this target, "host" or "host:port"
    subs: tuple[str, ...] = ()  # channels that every hold through this target gets, without the route's prefix
    over_http: bool = False
    one_event: bool = False

    @property
    def label(self) -> str:
        """How error bodies and logs name this target: as the routes file does."""
        if self.is_test:
            return "test"
        if self.unix_path is not None:
            return UNIX_PREFIX + self.unix_path
        if self.zhttp_spec is not None:
            return f"{ZHTTP_KINDS[self.is_zhttpreq]}/{self.zhttp_spec}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def decode_target(section: Section) -> Target:
    """Read a target: ``HOST:PORT``, ``[V6]:PORT``, ``unix:/PATH``, ``zhttp/SPEC``, ``zhttpreq/SPEC`` or ``test``.

    Raises:
        RouteLineError: it is none of these, or a property's argument is bad.
    """
    value = section.value
    host, port, unix_path, zhttp_spec = "", 0, None, None
    kind, _, rest = value.partition("/")
    if kind in ZHTTP_KINDS:
        zhttp_spec = _checked_spec(kind, rest)
    elif value.startswith(UNIX_PREFIX + "/"):
        unix_path = _checked_path(value.removeprefix(UNIX_PREFIX))
    elif value != "test":
        host, port = _split_host_port(value)
    if unix_path is not None and section.has("trust_connect_host"):
        raise RouteLineError("trust_connect_host: a unix socket has no name that a certificate could carry")
    if section.last("client_key") and not section.last("client_cert"):
        raise RouteLineError("client_key needs a client_cert")
    return Target(
        host=host,
        port=port,
        unix_path=unix_path,
        zhttp_spec=zhttp_spec,
        is_zhttpreq=kind == "zhttpreq",
        ipc_file_mode=_file_mode(section),
        is_test=value == "test",
        is_ssl=section.has("ssl"),
        insecure=section.has("insecure"),
        trust_connect_host=section.has("trust_connect_host"),
        client_cert=section.last("client_cert") or None,
        client_key=section.last("client_key") or None,
        untrusted=section.has("untrusted"),
        host_header=host_value(section, "host"),
        subs=tuple(channel for channel in section.all("sub") if channel),
        over_http=section.has("over_http"),
        one_event=section.has("one_event"),
    )


def target_remarks(target: Target) -> list[str]:
    """Say which of the target's properties do nothing because of what else it says."""
    remarks = []
    if not target.is_ssl:
        names = ("insecure", "trust_connect_host", "client_cert")
        remarks += [f"{name} has no effect without ssl" for name in names if getattr(target, name)]
    if target.one_event and not target.over_http:
        remarks.append("one_event has no effect without over_http")
    return remarks


def host_value(section: Section, name: str) -> str | None:
    """Read a property that replaces the request's host; None where it is absent or empty.

    Raises:
        RouteLineError: it could not stand in a Host header.
    """
    argument = section.last(name)
    if not argument:
        return None
    if not _HOST_VALUE.fullmatch(argument) or not argument.isascii():
        raise RouteLineError(f"{name} must use format 'host[:port]'")
    return argument


def _split_host_port(value: str) -> tuple[str, int]:
    """Split ``host:port`` at the first colon, or ``[v6]:port`` behind the bracket."""
    if value.startswith("["):
        host, separator, port = value[1:].partition("]:")
    else:
        host, separator, port = value.partition(":")
    if not separator or not _HOST_VALUE.fullmatch(host):
        raise RouteLineError(f"target bad format: {value!r} is not HOST:PORT")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) <= PORT_MAX):
        raise RouteLineError(f"target invalid port: {value!r} is not HOST:PORT with a port from 1 to {PORT_MAX}")
    return host, int(port)


def _checked_path(path: str, reserve_bytes: int = 0) -> str:
    """Refuse what the kernel would not take as the path of a unix socket."""
    excess = len(path.encode()) + reserve_bytes - SOCKET_PATH_MAX_BYTES
    if excess > 0:
        raise RouteLineError(f"target bad format: the path is {excess} bytes too long for a unix socket: {path}")
    if not path.isprintable():
        raise RouteLineError(f"target bad format: the path has a control character: {path!r}")
    return path


def _checked_spec(kind: str, spec: str) -> str:
    if "://" not in spec:  # Pushpin would stop at it
        raise RouteLineError(f"target bad format: {kind} targets need a spec with '://': {kind}/{spec}")
    match = _ZHTTP_SPEC.fullmatch(spec)
    if match is None:
        raise RouteLineError(f"target bad format: {spec!r} is not tcp://ADDRESS:PORT or ipc://PATH")
    if match[2] is not None:
        _checked_path(match[2], 0 if kind == "zhttpreq" else ZHTTP_SUFFIX_MAX_BYTES)
        return spec
    port_max = PORT_MAX if kind == "zhttpreq" else PORT_MAX - ZHTTP_PORTS_COUNT + 1
    if not 0 < int(match[1]) <= port_max:
        raise RouteLineError(f"target invalid port: {spec!r} needs a port from 1 to {port_max}")
    return spec


def _file_mode(section: Section) -> int | None:
    text = section.last("ipc_file_mode")
    if not text:
        return None
    if not re.fullmatch("0*[0-7]{1,3}", text, re.ASCII):
        raise RouteLineError("ipc_file_mode must be an octal file mode from 0 to 777")
    return int(text, 8)
