"""The file for /etc/sysctl.d: making its text, and writing it without losing what somebody else wrote."""

import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from gripproxy.doctor.finding import Load, Sysctl, grouped
from gripproxy.errors import ConfigError

FIRST_LINE = "# Written by gripproxy doctor"
KEPT_REASON = "From the file as it was: high enough now, because it is in force."
MODE = 0o644
_KEY = re.compile(r"-?[a-zA-Z0-9_]+(?:[./][a-zA-Z0-9_-]+)+")


def render_sysctl_file(load: Load, sysctls: Sequence[Sysctl]) -> str:
    """Make the file's text: a comment and an assignment for each value."""
    workers = f"{load.workers} worker{'' if load.workers == 1 else 's'}"
    lines = [
        f"{FIRST_LINE} for {grouped(load.connections)} client connections on {workers}.",
        "# Goes to /etc/sysctl.d, read at boot; `sysctl -p FILE` puts it in force at once.",
        "# A machine with more memory may have larger values already: have its own file written there.",
    ]
    for sysctl in sysctls:
        sign = "-" if sysctl.is_optional else ""  # a key that is not there is no error then
        lines += ["", f"# {sysctl.reason}", f"{sign}{sysctl.key} = {sysctl.value}"]
    return "\n".join(lines) + "\n"


def write_sysctl_file(path: Path, load: Load, sysctls: Sequence[Sysctl]) -> bool:
    """Write the file as a whole or not at all; False: there is nothing to change in it. A link stays one.

    What an earlier run wrote stays, where it is not written anew: it is why these values are high enough now.

    Raises:
        ConfigError: there is a file that somebody else wrote, or it cannot be read or written.
    """
    if not sysctls:
        return False
    path = Path(os.path.realpath(path))
    try:
        kept = _kept_sysctls(path, sysctls) if path.exists() else []
        _replace(path, render_sysctl_file(load, [*sysctls, *kept]))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(f"cannot write {path}: {reason}") from error
    return True


def parse_sysctl_file(text: str) -> list[tuple[str, str, bool]]:
    """Read assignments: key, value, and whether the key may be missing. What is no assignment is skipped."""
    values = []
    for line in text.splitlines():
        name, _, value = line.partition("=")
        name, value = name.strip(), " ".join(value.split())
        if value and _KEY.fullmatch(name):
            values.append((name.removeprefix("-"), value, name.startswith("-")))
    return values


def _kept_sysctls(path: Path, sysctls: Sequence[Sysctl]) -> list[Sysctl]:
    # A device is no file to replace either.
    text = path.read_text() if path.is_file() else ""
    if not text.startswith(FIRST_LINE):
        raise ConfigError(f"{path} is not from gripproxy doctor and stays as it is: name another file")
    new_keys = {sysctl.key for sysctl in sysctls}
    return [
        Sysctl(key=key, value=value, reason=KEPT_REASON, is_optional=is_optional)
        for key, value, is_optional in parse_sysctl_file(text)
        if key not in new_keys
    ]


def _replace(path: Path, text: str) -> None:
    handle, temporary_path = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), MODE)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary_path, path)
    except BaseException:
        os.unlink(temporary_path)
        raise
