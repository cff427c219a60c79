"""`gripproxy doctor`: looks at this machine, says what is too small for the planned load and how to change it."""

import argparse
import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

from gripproxy.config_file import Overrides, load_settings
from gripproxy.config_values import cores_count
from gripproxy.doctor.finding import Finding, Load, Verdict, sysctls_of
from gripproxy.doctor.machine import KernelFiles, Machine, read_machine
from gripproxy.doctor.memory_checks import memory_findings
from gripproxy.doctor.network_checks import network_findings
from gripproxy.doctor.process_checks import process_findings
from gripproxy.doctor.report import render_report
from gripproxy.doctor.sysctl_file import render_sysctl_file, write_sysctl_file
from gripproxy.errors import ConfigError
from gripproxy.settings import WORKERS_MAX_COUNT

CONNECTIONS_MAX_COUNT = 100_000_000
DIGITS_MAX_COUNT = 20
STANDARD_OUTPUT = "-"
CHANGE_STATUS = 1
USAGE_STATUS = 2

EPILOG = """\
Run it on the machine that will serve, as the user and in the service or container that will
run gripproxy, before gripproxy starts: the fd limit and the cgroup are its own, and memory
counts as it is available now. It changes nothing but the FILE that you name.

--write-sysctl writes only what is too small now, never a value below the present one, and
keeps what an earlier run wrote. It refuses a file that it did not write. With - the file goes
to standard output and the report to standard error.

exit status:
  0   nothing must change
  1   something must change, also when its values were just written
  2   wrong usage, a configuration that cannot be read, or a file that cannot be written

examples:
  gripproxy doctor --config /etc/pushpin/pushpin.conf
  gripproxy doctor --connections 1000000 --workers 8
  gripproxy doctor --connections 1000000 --write-sysctl /etc/sysctl.d/60-gripproxy.conf
"""


def main(argv: Sequence[str], root: Path = Path("/")) -> int:
    """Check the machine whose /proc and /sys are under `root`. Gives the exit status: 0, 1 or 2."""
    options = new_parser().parse_args(argv)
    try:
        load = _planned_load(options)
        machine = read_machine(KernelFiles(root), cores_count(), resource.getpagesize())
        findings = check(load, machine)
        _write(options.write_sysctl, load, findings)
        is_piped = options.write_sysctl == STANDARD_OUTPUT
        written_path = None if is_piped else options.write_sysctl
        print(render_report(load, findings, written_path), file=sys.stderr if is_piped else sys.stdout)
        sys.stdout.flush()
    except ConfigError as error:
        print("\n".join(f"gripproxy doctor: error: {line}" for line in str(error).splitlines()), file=sys.stderr)
        return USAGE_STATUS
    except OSError as error:  # nobody reads the output, or the disk is full
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left would fail again at the exit
        print(f"gripproxy doctor: error: cannot write the output: {error.strerror}", file=sys.stderr)
        return USAGE_STATUS
    return CHANGE_STATUS if any(finding.verdict is Verdict.CHANGE for finding in findings) else 0


def check(load: Load, machine: Machine) -> list[Finding]:
    """Look at everything; what must change first, else in the order of the checks."""
    findings = process_findings(load, machine) + network_findings(load, machine) + memory_findings(load, machine)
    order = (Verdict.CHANGE, Verdict.UNKNOWN, Verdict.OK, Verdict.NOTE)
    return sorted(findings, key=lambda finding: order.index(finding.verdict))


def new_parser() -> argparse.ArgumentParser:
    """Make the command's parser."""
    parser = argparse.ArgumentParser(
        prog="gripproxy doctor",
        description="Check whether this machine can hold so many client connections, and say what to change.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--connections", metavar="N", type=_connections, help="client connections (default: client_maxconn)")
    add("--workers", metavar="N", type=_workers, help="worker processes (default: the configuration's)")
    add("--config", metavar="FILE", help="configuration file; without it: the one that a start would find, or defaults")
    add("--write-sysctl", metavar="FILE", help="write the kernel values that must change, for /etc/sysctl.d")
    return parser


def _planned_load(options: argparse.Namespace) -> Load:
    settings, _ = load_settings(options.config, Overrides(workers=options.workers))
    connections = options.connections or settings.client_maxconn
    if connections < settings.workers:
        raise ConfigError(f"--connections {connections} is less than the number of workers, {settings.workers}")
    return Load(
        connections=connections,
        workers=settings.workers,
        client_maxconn=settings.client_maxconn,
        config_path=settings.config_path,
    )


def _write(target: str | None, load: Load, findings: Sequence[Finding]) -> None:
    sysctls = sysctls_of(findings)
    if target == STANDARD_OUTPUT:
        print(render_sysctl_file(load, sysctls), end="")
    elif target is not None and write_sysctl_file(Path(target), load, sysctls):
        print(f"written: {target}", file=sys.stderr)
    elif target is not None:
        print(f"not written: {target}, no kernel value must change", file=sys.stderr)


def _connections(text: str) -> int:
    return _whole_number(text, "the number of connections", CONNECTIONS_MAX_COUNT)


def _workers(text: str) -> int:
    return _whole_number(text, "the number of workers", WORKERS_MAX_COUNT)


def _whole_number(text: str, name: str, maximum: int) -> int:
    is_number = text.isascii() and text.isdecimal() and len(text) <= DIGITS_MAX_COUNT
    if not is_number or not 1 <= int(text) <= maximum:
        shown = text if len(text) <= DIGITS_MAX_COUNT else f"{text[:DIGITS_MAX_COUNT]}..."
        raise argparse.ArgumentTypeError(f"{name} must be a whole number from 1 to {maximum}, not {shown!r}")
    return int(text)
