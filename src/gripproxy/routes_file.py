"""Reads the routes that the settings name: a file's, or the lines of the command line."""

import dataclasses
import errno
import os
import ssl

from gripproxy.errors import ConfigError
from gripproxy.kept_file import read_kept_file, write_kept_file
from gripproxy.protocol.route import Route
from gripproxy.protocol.route_line import RouteLineError
from gripproxy.protocol.route_target import Target
from gripproxy.protocol.routes import RouteTable, parse_routes
from gripproxy.settings import Settings

FILE_MAX_CHARS = 67_108_864  # half a million routes; a device has no end
KEPT_NAME = "routes.kept"  # in the run directory
COMMAND_LINE_SOURCE = "<route>"  # what warnings call the lines of --route; same as Pushpin


def read_routes(settings: Settings, is_keeper: bool = False) -> tuple[RouteTable, list[str]]:
    """Read the routes, with warnings of the form ``SOURCE:LINE: TEXT`` for lines that were skipped or are doubtful.

    A file that cannot be read is a warning, and there are no routes: a reload may find it. With `is_keeper`, what was
    read is kept: see `keep_routes`.

    Raises:
        OSError: with `is_keeper`: it cannot be kept.
    """
    try:
        text = read_routes_text(settings)
    except ConfigError as error:
        if is_keeper:
            keep_routes(settings, None)
        return RouteTable([]), [str(error)]
    if is_keeper:
        keep_routes(settings, text)
    return _decode(settings, text)


def read_running_routes(settings: Settings) -> RouteTable:
    """Read the routes that this instance follows: those that were kept, and only without them the file's.

    What is wrong with them was said when they were kept.
    """
    text = read_kept_routes(settings)
    return read_routes(settings)[0] if text is None else _decode(settings, text)[0]


def read_routes_text(settings: Settings) -> str:
    """Read the lines of the routes.

    Raises:
        ConfigError: the file cannot be read.
    """
    path = settings.routesfile
    if path is None:
        return "\n".join(settings.routes)
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read(FILE_MAX_CHARS + 1)
        if len(text) > FILE_MAX_CHARS:
            raise OSError(errno.EFBIG, f"more than {FILE_MAX_CHARS} characters")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"unable to open routes file: {path} ({reason})") from error
    return text


def decode_routes(settings: Settings, text: str) -> tuple[RouteTable, list[str]]:
    """Make the table that is to replace another one, with warnings as `read_routes` gives them.

    Raises:
        ConfigError: no line is a route. What was written there is something else, and the old routes still serve.
    """
    table, warnings = _decode(settings, text)
    if table.is_all_refused:
        raise ConfigError(f"no line is a route: {warnings[0]}")
    return table, warnings


def _decode(settings: Settings, text: str) -> tuple[RouteTable, list[str]]:
    directory = os.path.dirname(settings.routesfile or "")
    return parse_routes(text, settings.routesfile or COMMAND_LINE_SOURCE, lambda route: _settle(route, directory))


def keep_routes(settings: Settings, text: str | None) -> None:
    """Keep the lines as those that all workers follow; None forgets what another run has kept.

    Raises:
        OSError: it cannot be written.
    """
    write_kept_file(settings.own_ipc_path(KEPT_NAME), text)


def read_kept_routes(settings: Settings) -> str | None:
    """Give what was kept, None if nothing was."""
    return read_kept_file(settings.own_ipc_path(KEPT_NAME), FILE_MAX_CHARS)


def settled_route(settings: Settings, route: Route) -> Route:
    """Finish a route of which another process has only told the line; where that cannot be, it stays as written."""
    try:
        return _settle(route, os.path.dirname(settings.routesfile or ""))
    except RouteLineError:
        return route


def _settle(route: Route, directory: str) -> Route:
    """See that the certificates can be used that the route's targets want to be shown; make their paths absolute.

    A relative one counts from the routes file's directory, as key files do. In Pushpin it counts from the working
    directory, which a daemon has not chosen.

    Raises:
        RouteLineError: one of them cannot be used.
    """
    if all(target.client_cert is None for target in route.targets):
        return route
    return dataclasses.replace(route, targets=tuple(_settle_target(target, directory) for target in route.targets))


def _settle_target(target: Target, directory: str) -> Target:
    if target.client_cert is None:
        return target
    certificate = os.path.abspath(os.path.join(directory, target.client_cert))
    key = target.client_key and os.path.abspath(os.path.join(directory, target.client_key))
    for path in filter(None, (certificate, key)):
        try:
            with open(path, "rb"):
                pass
        except (OSError, ValueError) as error:
            raise RouteLineError(f"failed to open {path}: {getattr(error, 'strerror', None) or error}") from error
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_cert_chain(certificate, key, password="")  # without one OpenSSL would ask at the terminal
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = getattr(error, "reason", None) or error
        raise RouteLineError(f"failed to read {certificate} or its key: {reason}") from error
    return dataclasses.replace(target, client_cert=certificate, client_key=key)
