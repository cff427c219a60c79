"""How much each process logs: ``N`` or ``N,NAME:N,...``, from the configuration or the command line.

Pushpin's processes are not ours, so their names stand for the process that does their work here.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

DEFAULT = 2

_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")
_FIELDS = {
    "runner": "supervisor",
    "proxy": "worker",
    "pushpin-proxy": "worker",
    "handler": "hub",
    "pushpin-handler": "hub",
    "supervisor": "supervisor",
    "worker": "worker",
    "hub": "hub",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLevels:
    """0 errors, 1 and warnings, 2 and information, 3 and debugging; more is as 3. `hub` also counts for holds."""

    supervisor: int = DEFAULT
    hub: int = DEFAULT
    worker: int = DEFAULT

    def of(self, process_name: str) -> int:
        """Give the level of ``supervisor``, ``hub`` or ``worker N``; of any other process, the supervisor's."""
        level: int = getattr(self, process_name.partition(" ")[0], self.supervisor)
        return level

    @classmethod
    def all(cls, level: int) -> "LogLevels":
        """Give one level to all processes."""
        return cls(supervisor=level, hub=level, worker=level)


def decode_log_levels(components: Sequence[str]) -> LogLevels:
    """Read ``N`` and ``NAME:N``. Names that stand for nothing here are passed over, as in Pushpin.

    Raises:
        ValueError: a component is not of that form; in the reference's words where it has them.
    """
    levels = LogLevels()
    by_field: dict[str, int] = {}
    for component in components:
        name, colon, text = component.rpartition(":")
        if not component:
            raise ValueError("log level component cannot be empty")
        if colon and not name:
            raise ValueError("log level component name cannot be empty")
        if not _WHOLE_NUMBER.fullmatch(text):
            raise ValueError(f"log level must be a whole number, not {text!r}")
        if int(text) < 0:
            owner = f" for service {name}" if name else ""
            raise ValueError(f"log level{owner} must be greater than or equal to 0")
        if not colon:
            levels = LogLevels.all(int(text))
        elif name in _FIELDS:
            by_field[_FIELDS[name]] = int(text)
    return replace(levels, **by_field)
