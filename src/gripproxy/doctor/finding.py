"""What the checks take and give: the load that is planned, and a finding for each thing that was looked at."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """What a finding comes to. Only `CHANGE` stands in the way of the planned load."""

    OK = "ok"
    CHANGE = "change"
    UNKNOWN = "cannot tell"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What the machine is to hold: client connections over all workers, and worker processes."""

    connections: int
    workers: int
    client_maxconn: int  # what the configuration allows
    config_path: str | None = None  # None: there is no file, the defaults count


@dataclass(frozen=True, slots=True, kw_only=True)
class Sysctl:
    """One value for a file in sysctl.d. `is_optional`: the key is there only while its kernel module is loaded."""

    key: str
    value: str
    reason: str
    is_optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report. `advice` are lines to read and paste; `sysctls` can be written to a file."""

    name: str
    verdict: Verdict
    found: str
    needed: str
    why: str
    advice: tuple[str, ...] = ()
    sysctls: tuple[Sysctl, ...] = ()


def unknown(name: str, needed: str, path: str) -> Finding:
    """Make the finding for what cannot be read here, as in a container, with the file to look at where it can be."""
    return Finding(
        name=name,
        verdict=Verdict.UNKNOWN,
        found="?",
        needed=needed,
        why=f"{path} cannot be read here",
        advice=(f"look at {path} on the host: a container does not see every value",),
    )


def verdict_of(is_enough: bool) -> Verdict:
    """Give `OK` or `CHANGE`."""
    return Verdict.OK if is_enough else Verdict.CHANGE


def round_up(number: float, step: int) -> int:
    """Give the next multiple of `step`, for values that people read."""
    return -int(-number // step) * step


def grouped(*numbers: int) -> str:
    """Write numbers as people read them: ``1,000,000``."""
    return " ".join(f"{number:,}" for number in numbers)


def gigabytes(size_bytes: float) -> str:
    """Write a size in GB with one decimal."""
    return f"{size_bytes / 1e9:.1f} GB"


def sysctls_of(findings: Sequence[Finding]) -> list[Sysctl]:
    """Gather the kernel values that must change, in the order of the report."""
    return [sysctl for finding in findings if finding.verdict is Verdict.CHANGE for sysctl in finding.sysctls]
