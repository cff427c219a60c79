"""Reads the routes that the settings name: a file's, or the lines of the command line."""

import errno

from gripproxy.errors import ConfigError
from gripproxy.protocol.routes import RouteTable, parse_routes
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
        return parse_routes("\n".join(settings.routes), COMMAND_LINE_SOURCE)
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
    return parse_routes(text, settings.routesfile)
