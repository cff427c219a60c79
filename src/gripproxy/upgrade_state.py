"""What an instance says of itself and its last upgrade, in a file that `gripproxy upgrade` reads."""

import contextlib
import dataclasses
import json
from dataclasses import dataclass, field

from gripproxy.kept_file import read_kept_file, write_kept_file
from gripproxy.settings import Settings

NAME = "gripproxy.state"
FILE_MAX_CHARS = 1_048_576


@dataclass(slots=True, kw_only=True)
class UpgradeState:
    """The content of the file. Other versions' may have more."""

    pid: int  # of the supervisor; whatever is there from one that is gone means nothing
    version: str
    handover_version: int
    requests_count: int = 0  # upgrades asked for; goes on over upgrades
    steps: list[str] = field(default_factory=list)  # of the last upgrade
    progress: str = ""  # of the last step
    outcome: bool | None = None  # None: it is under way, or there was none
    elder_pid: int | None = None  # of the version before, as long as it is there
    elder_clients: int = 0  # that it still has


def state_path(settings: Settings) -> str:
    return settings.ipc_path(NAME)


def write_state(path: str, state: UpgradeState) -> None:
    """Replace the file; whoever reads it finds the old one or the new one. A full disk is no reason to fail."""
    with contextlib.suppress(OSError):
        write_kept_file(path, json.dumps(dataclasses.asdict(state)), 0o644)


def read_state(path: str) -> UpgradeState | None:
    """Read the file; None: there is none, or none that makes sense."""
    try:
        values = json.loads(read_kept_file(path, FILE_MAX_CHARS) or "")
        names = {each.name for each in dataclasses.fields(UpgradeState)}
        return UpgradeState(**{name: value for name, value in values.items() if name in names})
    except (ValueError, TypeError, AttributeError):
        return None


def remove_state(path: str) -> None:
    with contextlib.suppress(OSError):
        write_kept_file(path, None)
