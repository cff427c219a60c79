"""Every key that a configuration file may hold: what it takes, what its absence means, and whether it does anything.

Source: Pushpin 1.36-1.41's configuration; the keys that are gripproxy's own say so.
"""

import re
from dataclasses import dataclass, replace
from enum import IntEnum

from gripproxy.settings import WORKERS_MAX_COUNT


class Kind(IntEnum):
    """What a key's value must look like."""

    BOOLEAN = 0  # false: empty, 0, false; all else is true, also "no"
    INTEGER = 1
    NUMBER = 2  # with a decimal point
    OCTAL = 3
    TEXT = 4
    SPEC = 5  # tcp://ADDRESS:PORT or ipc://PATH; empty is off
    SPEC_LIST = 6
    TEXT_LIST = 7
    LISTENERS = 8  # PORT, ADDRESS:PORT, [V6]:PORT, with options behind ?
    LOG_LEVEL = 9  # N or N,PROCESS:N,...
    FORWARDED_PROTOCOL = 10
    FORWARDED_FOR = 11
    ADDRESS = 12
    PORT = 13  # empty, 0 and -1 are off
    WORKERS = 14  # empty and 0: one per core
    SIGNING_KEY = 15
    METRICS_ADDRESS = 16  # PORT, ADDRESS:PORT or ipc://PATH; empty is off
    NETWORKS = 17  # ADDRESS, ADDRESS/BITS or unix:
    TLS_LISTENERS = 18  # as LISTENERS
    LOCAL_LISTENERS = 19  # PATH, with options behind ?
    CURVE_KEY = 20  # Z85 text or file:PATH
    CURVE_KEYS = 21
    LOG_EVENTS = 22  # a list of request, hold and publish
    LOG_FORMAT = 23  # text or json


class Status(IntEnum):
    """What becomes of a key."""

    USED = 0
    UNUSED = 1  # of Pushpin's own processes: nothing is lost, so nothing is said
    UNSUPPORTED = 2  # a feature that this version lacks: a warning when it is asked for


@dataclass(frozen=True, slots=True)
class Key:
    """One key. `missing` is what counts when it is absent, as the file would say it; `shipped` stands in
    Pushpin's and in our example file. `low` and `high` bound numbers. `field` is the `Settings` attribute; of keys
    with the same one, the first in the table wins, and lists are joined. Without a field the reading of the file
    itself takes it, as other values are built on it. With `needs_restart` a reload lets it be, and so it takes effect
    with a restart, or with `gripproxy upgrade`.
    """

    section: str
    name: str
    kind: Kind
    missing: str = ""
    shipped: str = ""
    unit: str = ""
    low: float = 0
    high: float = 2**31 - 1
    field: str = ""
    status: Status = Status.USED
    needs_restart: bool = False


def _used(section: str, name: str, kind: Kind, missing: str, shipped: str, unit: str = "", **rest: float) -> Key:
    low, high = rest.get("low", 0), rest.get("high", 2**31 - 1)
    return Key(section, name, kind, missing, shipped, unit, low, high, name)


def _alias(section: str, name: str, field: str, like: Key) -> Key:
    return Key(section, name, like.kind, like.missing, "", like.unit, like.low, like.high, field)


def _place(section: str, name: str, shipped: str = "") -> Key:
    return Key(section, name, Kind.TEXT, shipped=shipped)


def _unused(section: str, names: str) -> list[Key]:
    return [Key(section, name, Kind.TEXT, status=Status.UNUSED) for name in names.split()]


def _unsupported(section: str, name: str, shipped: str = "", missing: str = "", kind: Kind = Kind.TEXT) -> Key:
    return Key(section, name, kind, missing, shipped, status=Status.UNSUPPORTED)


_HEADERS_SIZE = _used(
    "handler", "push_in_http_max_headers_size", Kind.INTEGER, "10000", "10000", "bytes", low=256, high=2**24
)
_BODY_SIZE = _used("handler", "push_in_http_max_body_size", Kind.INTEGER, "1000000", "1000000", "bytes", low=1)
_SUB_SPECS = _used("handler", "push_in_sub_specs", Kind.SPEC_LIST, "", "tcp://127.0.0.1:5562")
# [runner] is gripproxy's own place for it; Pushpin has it in [proxy].
_WORKERS = _used("runner", "workers", Kind.WORKERS, "", "", "processes", high=WORKERS_MAX_COUNT)

GLOBAL_KEYS = [
    _place("global", "include"),
    _place("global", "libdir"),
    _place("global", "rundir"),
    _place("global", "ipc_prefix", "pushpin-"),
    Key("global", "port_offset", Kind.INTEGER, "0", "0", high=60_000),
    _used("global", "stats_connection_ttl", Kind.INTEGER, "120", "120", "seconds", low=1, high=86_400),
    _used("global", "stats_connection_send", Kind.BOOLEAN, "true", "true"),
]

RUNNER_KEYS = [
    _place("runner", "rundir"),
    _used("runner", "http_port", Kind.LISTENERS, "", "7999"),
    _used("runner", "https_ports", Kind.TLS_LISTENERS, "", ""),
    _used("runner", "local_ports", Kind.LOCAL_LISTENERS, "", ""),
    _WORKERS,
    _used("runner", "log_level", Kind.LOG_LEVEL, "2", "2"),
    # gripproxy's own
    _used("runner", "log_events", Kind.LOG_EVENTS, "request,hold", "request,hold"),
    _used("runner", "log_format", Kind.LOG_FORMAT, "text", "text"),
    _used("runner", "client_buffer_size", Kind.INTEGER, "8192", "8192", "bytes", low=256, high=2**24),
    _used("runner", "client_maxconn", Kind.INTEGER, "50000", "50000", "connections", low=1, high=100_000_000),
    # gripproxy's own, named as in nginx
    _used("runner", "client_header_timeout", Kind.NUMBER, "60", "60", "seconds", low=0.01, high=86_400),
    _used("runner", "client_body_timeout", Kind.NUMBER, "60", "60", "seconds", low=0.01, high=86_400),
    _used("runner", "client_max_body_size", Kind.INTEGER, "0", "0", "bytes", high=2**60),
    _used("runner", "client_max_message_size", Kind.INTEGER, "0", "0", "bytes", high=2**60),
    _used("runner", "keepalive_timeout", Kind.NUMBER, "1800", "1800", "seconds", low=0.01, high=86_400),
    _used("runner", "send_timeout", Kind.NUMBER, "1800", "1800", "seconds", low=0.01, high=86_400),
    # gripproxy's own
    _used("runner", "memory_limit", Kind.INTEGER, "0", "0", "bytes", high=2**60),
    _used("runner", "drain_timeout", Kind.NUMBER, "10", "10", "seconds", high=86_400),
    _used("runner", "allow_compression", Kind.BOOLEAN, "false", "false"),
    *_unused("runner", "services logdir mongrel2_bin m2sh_bin zurl_bin condure_bin"),
]

PROXY_KEYS = [
    _used("proxy", "routesfile", Kind.TEXT, "", "routes"),
    _used("proxy", "debug", Kind.BOOLEAN, "", "false"),
    _used("proxy", "accept_x_forwarded_protocol", Kind.BOOLEAN, "", "false"),
    _used("proxy", "set_x_forwarded_protocol", Kind.FORWARDED_PROTOCOL, "", "proto-only"),
    _used("proxy", "x_forwarded_for", Kind.FORWARDED_FOR, "", ""),
    _used("proxy", "x_forwarded_for_trusted", Kind.FORWARDED_FOR, "", ""),
    _used("proxy", "accept_pushpin_route", Kind.BOOLEAN, "", "false"),
    _used("proxy", "auto_cross_origin", Kind.BOOLEAN, "", "false"),
    _used("proxy", "orig_headers_need_mark", Kind.TEXT_LIST, "", ""),
    _used("proxy", "cdn_loop", Kind.TEXT, "", ""),
    _used("proxy", "sig_iss", Kind.TEXT, "pushpin", "pushpin"),
    _used("proxy", "sig_key", Kind.SIGNING_KEY, "", "changeme"),
    _used("proxy", "upstream_key", Kind.SIGNING_KEY, "", ""),
    # gripproxy's own
    _used("proxy", "set_real_ip_from", Kind.NETWORKS, "", ""),
    _used("proxy", "origin_connect_timeout", Kind.NUMBER, "10", "10", "seconds", low=0.01, high=3600),
    _used("proxy", "origin_queue_timeout", Kind.NUMBER, "30", "30", "seconds", low=0.01, high=86_400),
    _used("proxy", "origin_timeout", Kind.NUMBER, "600", "600", "seconds", low=0.01, high=86_400),
    _alias("proxy", "workers", "workers", _WORKERS),
    _used("proxy", "log_from", Kind.BOOLEAN, "", "false"),
    _used("proxy", "log_user_agent", Kind.BOOLEAN, "", "false"),
    _unsupported("proxy", "sockjs_url", "http://cdn.jsdelivr.net/sockjs/0.3.4/sockjs.min.js"),
    _used("proxy", "max_open_requests", Kind.INTEGER, "-1", "-1", "requests", low=-1),
    _unsupported("proxy", "prometheus_port"),
    _unsupported("proxy", "prometheus_prefix"),
    *_unused("proxy", "updates_check organization_name ipc_file_mode stats_spec command_spec"),
    *_unused("proxy", "stats_report_interval stats_connections_max_ttl"),
]

HANDLER_KEYS = [
    _used("handler", "ipc_file_mode", Kind.OCTAL, "", "", "octal", high=0o777),
    _used("handler", "push_in_spec", Kind.SPEC, "", "tcp://127.0.0.1:5560"),
    _SUB_SPECS,
    _alias("handler", "push_in_sub_spec", "push_in_sub_specs", _SUB_SPECS),
    _used("handler", "push_in_sub_connect", Kind.BOOLEAN, "", "false"),
    _used("handler", "push_in_http_addr", Kind.ADDRESS, "127.0.0.1", "127.0.0.1"),
    _used("handler", "push_in_http_port", Kind.PORT, "", "5561"),
    # gripproxy's own
    _used("handler", "push_in_http_key", Kind.SIGNING_KEY, "", ""),
    _used("handler", "push_in_http_iss", Kind.TEXT, "", ""),
    _used("handler", "zmq_curve_secret_key", Kind.CURVE_KEY, "", ""),
    _used("handler", "zmq_curve_client_keys", Kind.CURVE_KEYS, "", ""),
    _used("handler", "push_in_sub_server_key", Kind.CURVE_KEY, "", ""),
    _HEADERS_SIZE,
    _alias("handler", "push_in_max_headers_size", "push_in_http_max_headers_size", _HEADERS_SIZE),
    _BODY_SIZE,
    _alias("handler", "push_in_max_body_size", "push_in_http_max_body_size", _BODY_SIZE),
    _used("handler", "connection_subscription_max", Kind.INTEGER, "20", "20", "channels", low=1),
    _used("handler", "subscription_linger", Kind.INTEGER, "60", "60", "seconds", high=86_400),
    Key(
        "handler", "message_wait", Kind.INTEGER, "5000", "5000", "milliseconds", high=3_600_000, field="message_wait_ms"
    ),
    _used("handler", "update_on_first_subscription", Kind.BOOLEAN, "true", "true"),
    _used("handler", "id_cache_ttl", Kind.INTEGER, "0", "60", "seconds", high=86_400),
    _used("handler", "command_spec", Kind.SPEC, "", "tcp://127.0.0.1:5563"),
    _used("handler", "prometheus_port", Kind.METRICS_ADDRESS, "", ""),
    _used("handler", "prometheus_prefix", Kind.TEXT, "", ""),
    _used("handler", "stats_spec", Kind.SPEC, "", "ipc://{rundir}/{ipc_prefix}stats"),
    _unsupported("handler", "state_spec"),
    _used("handler", "message_rate", Kind.INTEGER, "-1", "-1", "deliveries", low=-1),
    _used("handler", "message_hwm", Kind.INTEGER, "-1", "-1", "deliveries", low=-1),
    _used("handler", "message_block_size", Kind.INTEGER, "-1", "-1", "bytes", low=-1),
    _used("handler", "stats_subscription_ttl", Kind.INTEGER, "60", "60", "seconds", low=1, high=86_400),
    _used("handler", "stats_report_interval", Kind.INTEGER, "10", "10", "seconds", high=86_400),
    _used("handler", "stats_format", Kind.TEXT, "tnetstring", "tnetstring"),
    _unsupported("handler", "share_all", "false", kind=Kind.BOOLEAN),
]

# Sockets that others know the way to, and what was measured out by the number of processes; all else changes in place.
NEEDS_RESTART = frozenset(
    (
        *("rundir", "ipc_prefix", "port_offset", "ipc_file_mode", "workers"),
        *("http_port", "https_ports", "local_ports"),
        *("push_in_spec", "push_in_sub_specs", "push_in_sub_connect", "push_in_http_addr", "push_in_http_port"),
        *("zmq_curve_secret_key", "push_in_sub_server_key", "command_spec", "stats_spec", "prometheus_port"),
    )
)

KEYS: dict[tuple[str, str], Key] = {
    (key.section, key.name): replace(key, needs_restart=(key.field or key.name) in NEEDS_RESTART)
    for key in [*GLOBAL_KEYS, *RUNNER_KEYS, *PROXY_KEYS, *HANDLER_KEYS]
}

# The sockets between Pushpin's processes, from its internal.conf: condure_in_specs, handler_retry_in_spec, ...
_PRIVATE_ENDPOINT = re.compile(r"(condure|connmgr|m2a|zurl|intreq|handler|proxy)_\w*specs?")


def is_private_endpoint(name: str) -> bool:
    """Tell whether a key is about a socket between Pushpin's own processes, which do not exist here."""
    return _PRIVATE_ENDPOINT.fullmatch(name) is not None
