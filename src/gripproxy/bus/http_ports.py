"""The two HTTP servers of the hub, as the settings have them: the control port and the page of metrics."""

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Mapping, Sequence

from gripproxy.bus.control_answer import ControlAnswer
from gripproxy.bus.control_auth import ControlAuth, ControlGuard
from gripproxy.bus.control_request import ControlRequest
from gripproxy.bus.control_routes import ControlRoutes
from gripproxy.bus.control_server import ControlServer, open_listener, open_unix_listener
from gripproxy.bus.health import Health
from gripproxy.bus.metrics_page import CONTENT_TYPE, MetricsPage
from gripproxy.bus.settings_reload import HubReload, NewSettings
from gripproxy.errors import ConfigError
from gripproxy.listen_address import convert_port, is_loopback_host
from gripproxy.protocol.grip_sig import SigKey
from gripproxy.scoreboard import HUB_ROW, Scoreboard
from gripproxy.settings import Settings
from gripproxy.signing_keys import read_publish_key

log = logging.getLogger(__name__)

METRICS_REQUEST_MAX_BYTES = 8192


def new_guard(settings: Settings, row: memoryview, reload: HubReload) -> ControlGuard:
    """Make what asks users of the control port for the key.

    Raises:
        ConfigError: the key cannot be used.
    """
    auth = _new_auth(settings, read_publish_key(settings))
    guard = ControlGuard(row, time.time, auth, is_loopback_host(settings.push_in_http_addr))
    reload.add(lambda new: guard.use(_new_auth(new.settings, new.publish_key)))
    return guard


def _new_auth(settings: Settings, key: SigKey | None) -> ControlAuth | None:
    is_hex = settings.push_in_http_key.startswith("file:")
    return None if key is None else ControlAuth(key, settings.push_in_http_iss, is_hex)


def open_control_server(
    loop: asyncio.AbstractEventLoop,
    settings: Settings,
    routes: ControlRoutes,
    reload: HubReload,
    listener_fd: int | None = None,
) -> ControlServer:
    """Listen on `push_in_http_addr` and `push_in_http_port`, which must not be None, or on what listens already.

    Raises:
        ConfigError: it cannot be bound.
    """
    if listener_fd is None:
        address = settings.push_in_http_addr, settings.push_in_http_port or 0
        listener = open_listener("push_in_http_addr, push_in_http_port", *address)
    else:
        listener = socket.socket(fileno=listener_fd)
    log.info("publish input: HTTP on %s:%d", *listener.getsockname()[:2])
    server = ControlServer(loop, listener, routes, *_limits(settings))

    def use(new: NewSettings) -> None:
        server.limits = _limits(new.settings)

    reload.add(use)
    return server


def _limits(settings: Settings) -> tuple[int, int]:
    return settings.push_in_http_max_headers_size, settings.push_in_http_max_body_size


def open_metrics_server(
    loop: asyncio.AbstractEventLoop,
    settings: Settings,
    scoreboard: Scoreboard,
    traffic: Callable[[], Mapping[str, Sequence[int]]],
    health: Health,
    reload: HubReload,
    listener_fd: int | None = None,
) -> ControlServer:
    """Listen on `prometheus_port`, which must not be None, or on what listens already.

    Every path is the page, but for those of `health`.

    Raises:
        ConfigError: it cannot be bound.
    """
    if listener_fd is None:
        listener = open_metrics_listener(settings.prometheus_port or "")
    else:
        listener = socket.socket(fileno=listener_fd)
    log.info("metrics on %s", settings.prometheus_port)
    rows = [scoreboard.row(index) for index in range(HUB_ROW, scoreboard.rows_count)]
    page = MetricsPage(len(rows) - 1, settings.prometheus_prefix, settings.stats_report_interval > 0)
    reload.add(lambda new: page.use(new.settings.prometheus_prefix, new.settings.stats_report_interval > 0))

    def respond(_: ControlRequest) -> ControlAnswer:
        return ControlAnswer(200, page.encode(rows, traffic()), CONTENT_TYPE)

    routes = ControlRoutes(respond)
    health.register(routes)
    return ControlServer(loop, listener, routes, METRICS_REQUEST_MAX_BYTES, METRICS_REQUEST_MAX_BYTES)


def open_metrics_listener(spec: str) -> socket.socket:
    """Listen on `prometheus_port`: what `convert_port` reads, or ``ipc://PATH``.

    Raises:
        ConfigError: not of that form, or it cannot be bound.
    """
    if spec.startswith("ipc://"):
        return open_unix_listener("prometheus_port", spec.removeprefix("ipc://"))
    try:
        address = convert_port(spec, "prometheus")
    except ValueError as error:
        raise ConfigError(f"prometheus_port: {error}") from None
    return open_listener("prometheus_port", address.host, address.port)
