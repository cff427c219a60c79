"""The findings as text: a line each, then what to do."""

import shlex
from collections.abc import Sequence

from gripproxy.doctor.finding import Finding, Load, Verdict, grouped, sysctls_of

SYSCTL_FILE = "/etc/sysctl.d/60-gripproxy.conf"
HEADINGS = ("", "check", "found", "needed", "why")


def render_report(load: Load, findings: Sequence[Finding], written_path: str | None) -> str:
    """Write the whole report.

    Args:
        written_path: the sysctl file that was written or is up to date; None if none was asked for.
    """
    workers = f"{load.workers} worker{'' if load.workers == 1 else 's'}"
    source = f"configuration: {load.config_path}" if load.config_path else "no configuration file: defaults"
    lines = [f"{grouped(load.connections)} client connections, {workers} ({source})", ""]
    lines += _table(findings)
    for verdict, heading in ((Verdict.CHANGE, "change:"), (Verdict.UNKNOWN, "cannot tell:"), (Verdict.NOTE, "notes:")):
        advised = [finding for finding in findings if finding.verdict is verdict and finding.advice]
        if verdict is Verdict.NOTE:
            advised += [finding for finding in findings if finding.verdict is Verdict.OK and finding.advice]
        texts = _sysctl_steps(load, findings, written_path) if verdict is Verdict.CHANGE else []
        for finding in advised:
            texts += [f"  {finding.name}", *(f"    {line}" for line in finding.advice)]
        if texts:
            lines += ["", heading, *texts]
    return "\n".join([*lines, "", _summary(findings)])


def _table(findings: Sequence[Finding]) -> list[str]:
    rows = [HEADINGS, *((f.verdict.value, f.name, f.found, f.needed, f.why) for f in findings)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS) - 1)]
    return ["  ".join([*(row[i].ljust(width) for i, width in enumerate(widths)), row[-1]]).rstrip() for row in rows]


def _sysctl_steps(load: Load, findings: Sequence[Finding], written_path: str | None) -> list[str]:
    sysctls = sysctls_of(findings)
    if not sysctls:
        return []
    path = written_path or SYSCTL_FILE
    values = [f"      {sysctl.key} = {sysctl.value}" for sysctl in sysctls]
    lines = ["  kernel values, as root:"]
    if written_path is None:
        options = f"--connections {load.connections} --workers {load.workers}"
        options += f" --config {shlex.quote(load.config_path)}" if load.config_path else ""
        lines.append(f"    gripproxy doctor {options} --write-sysctl {path}")
    return [*lines, f"    sysctl -p {shlex.quote(path)}", *values]


def _summary(findings: Sequence[Finding]) -> str:
    counts = {verdict: sum(finding.verdict is verdict for finding in findings) for verdict in Verdict}
    if counts[Verdict.CHANGE]:
        return f"to change: {counts[Verdict.CHANGE]}"
    missing = counts[Verdict.UNKNOWN]
    return f"nothing to change; cannot tell: {missing}" if missing else "nothing to change"
