"""Reads the routes that the settings name: a file's, or the lines of the command line."""

import dataclasses
import errno
import os

from gripproxy.errors import ConfigError
from gripproxy.protocol.route_line import RouteLineError
from gripproxy.protocol.routes import Route, RouteTable, Target, parse_routes
from gripproxy.settings import Settings

FILE_MAX_CHARS = 67_108_864  # half a million routes; a device has no end
COMMAND_LINE_SOURCE = "<route>"  # what warnings call the lines of --route; same as Pushpin


def read_routes(settings: Settings, is_reload: bool = False) -> tuple[RouteTable, list[str]]:
    """Read the routes, with warnings of the form ``SOURCE:LINE: TEXT`` for lines that were skipped or are doubtful.

    A file that cannot be read at start is a warning, and the table is empty: a later reload may find it.

    Raises:
        ConfigError: the file cannot be read on a reload; keep the routes there are.
    """
    if settings.routesfile is None:
        return parse_routes("\n".join(settings.routes), COMMAND_LINE_SOURCE, lambda route: _settle(route, ""))
    try:
        with open(settings.routesfile, encoding="utf-8-sig") as file:
            text = file.read(FILE_MAX_CHARS + 1)
        if len(text) > FILE_MAX_CHARS:
            raise OSError(errno.EFBIG, f"more than {FILE_MAX_CHARS} characters")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        warning = f"unable to open routes file: {settings.routesfile} ({reason})"
        if is_reload:
            raise ConfigError(warning) from error
        return RouteTable([]), [warning]
    directory = os.path.dirname(settings.routesfile)
    return parse_routes(text, settings.routesfile, lambda route: _settle(route, directory))


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
    import ssl  # only now: most routes need none

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(
            certificate, key, password=""
        )  # it must not ask for one
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = getattr(error, "reason", None) or error
        raise RouteLineError(f"failed to read {certificate} or its key: {reason}") from error
    return dataclasses.replace(target, client_cert=certificate, client_key=key)
