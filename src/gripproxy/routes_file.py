"""Reads the routes that the settings name: a file's, or the lines of the command line."""

import contextlib
import dataclasses
import errno
import os
import ssl

from gripproxy.errors import ConfigError
from gripproxy.protocol.route import Route
from gripproxy.protocol.route_line import RouteLineError
from gripproxy.protocol.route_target import Target
from gripproxy.protocol.routes import RouteTable, parse_routes
from gripproxy.settings import Settings

FILE_MAX_CHARS = 67_108_864  # half a million routes; a device has no end
KEPT_NAME = "routes.kept"  # in the run directory
COMMAND_LINE_SOURCE = "<route>"  # what warnings call the lines of --route; same as Pushpin


def read_routes(
    settings: Settings, kept_text: str | None = None, is_keeper: bool = False
) -> tuple[RouteTable, list[str]]:
    """Read the routes, with warnings of the form ``SOURCE:LINE: TEXT`` for lines that were skipped or are doubtful.

    A file that cannot be read is a warning, and the routes are those of `kept_text`, or none: a reload may find it.
    So it is with a file in which no line is a route. With `is_keeper`, what was read is kept: see `keep_routes`.

    Raises:
        OSError: with `is_keeper`: it cannot be kept.
    """
    try:
        text = read_routes_text(settings)
    except ConfigError as error:
        if is_keeper:
            keep_routes(settings, None)
        table = RouteTable([]) if kept_text is None else _decode(settings, kept_text)[0]
        return table, [str(error)]
    if is_keeper:
        keep_routes(settings, text)
    table, warnings = _decode(settings, text)
    if table.is_all_refused and kept_text is not None:
        table = _decode(settings, kept_text)[0]
    return table, warnings


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
    """Keep the lines for workers that start while the file cannot be read; None forgets what another run has kept.

    Raises:
        OSError: it cannot be written.
    """
    path = settings.ipc_path(KEPT_NAME)
    if text is None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return
    new_path = f"{path}.{os.getpid()}"
    # Routes may hold keys, which are nobody else's.
    with open(os.open(new_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(new_path, path)


def read_kept_routes(settings: Settings) -> str | None:
    """Give what was kept, None if nothing was."""
    try:
        with open(settings.ipc_path(KEPT_NAME), encoding="utf-8") as file:
            return file.read(FILE_MAX_CHARS)
    except (OSError, UnicodeDecodeError):
        return None


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
