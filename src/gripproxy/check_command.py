"""`gripproxy check`: reads configuration and routes as a start would, and says what it found, without starting."""

import argparse
import logging
import sys
from collections.abc import Sequence

from gripproxy.bus.curve import read_curve_keys
from gripproxy.config_file import Overrides, read_config
from gripproxy.config_reload import describe_changes
from gripproxy.errors import ConfigError
from gripproxy.fd_limit import raise_fd_limit
from gripproxy.kept_settings import find_running
from gripproxy.protocol.route import Route
from gripproxy.protocol.route_target import Target
from gripproxy.protocol.routes import RouteTable
from gripproxy.routes_file import read_routes
from gripproxy.setting_changes import compare_settings
from gripproxy.settings import Settings
from gripproxy.signing_keys import read_publish_key, read_signing_keys, read_upstream_key
from gripproxy.start_report import (
    Line,
    address_lines,
    capacity_lines,
    certificate_lines,
    config_lines,
    exposure_lines,
    routes_lines,
)
from gripproxy_worker.certificates import CertificateStore

EPILOG = """\
Warnings and errors go to standard error, with file and line; what would listen where and
the routes go to standard output. So does what a reload (SIGHUP) would change, if it runs.

exit status:
  0   it would start; there may be warnings
  1   a bad value, a line of the routes file that is no route, no route at all, or a file that
      cannot be read

examples:
  gripproxy check --config /etc/pushpin/pushpin.conf
  gripproxy check --route '* localhost:80,ssl'
"""


def main(argv: Sequence[str]) -> int:
    """Check what the command line names. Gives the exit status: 0 or 1."""
    options = new_parser().parse_args(argv)
    overrides = Overrides(
        port=options.port,
        routes=tuple(options.route),
        workers=options.workers,
        id=options.id,
        rundir=options.rundir,
    )
    report = read_config(options.config, overrides)
    warnings, errors = report.warnings, [str(error) for error in report.errors]
    if report.settings is not None:
        table, route_warnings = read_routes(report.settings)
        errors += _route_errors(table, route_warnings)
        warnings += route_warnings
        key_warnings, key_errors = _key_faults(report.settings, table)
        warnings += key_warnings
        errors += key_errors
        warnings += _print_effective(report.settings, table)
    for text in warnings:
        print(f"warning: {text}", file=sys.stderr)
    for text in errors:
        print(f"error: {text}", file=sys.stderr)
    if report.settings is not None and not errors:
        for line in _reload_lines(report.settings):
            print(line)
    print(f"errors: {len(errors)}, warnings: {len(warnings)}")
    return 1 if errors else 0


def new_parser() -> argparse.ArgumentParser:
    """Make the command's parser."""
    parser = argparse.ArgumentParser(
        prog="gripproxy check",
        description="Check configuration and routes without starting.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--config", metavar="FILE", help="configuration file; without it: the one that a start would find, or defaults")
    add("--port", metavar="[ADDR:]PORT", help="as for gripproxy itself, as are the following")
    add("--route", metavar="LINE", action="append", default=[], help="a line of a routes file; repeatable")
    add("--workers", metavar="N", type=int)
    add("--id", metavar="N", type=int)
    add("--rundir", metavar="DIR")
    return parser


def _key_faults(settings: Settings, table: RouteTable) -> tuple[list[str], list[str]]:
    """Read the keys; give what a start would warn of, and what would refuse it."""
    warnings, errors = [], []
    try:
        warnings = read_signing_keys(settings, table.routes)[1]
    except ConfigError as error:
        errors.append(str(error))
    for read_key in (read_upstream_key, read_publish_key, read_curve_keys):
        try:
            read_key(settings)
        except ConfigError as error:
            errors.append(str(error))
    return warnings, errors


def _route_errors(table: RouteTable, warnings: list[str]) -> list[str]:
    if table.refused_count:
        return [f"refused lines of the routes: {table.refused_count}, see the warnings"]
    return ["there is no route, see the warnings" if warnings else "there is no route"] if not table.count else []


def _print_effective(settings: Settings, table: RouteTable) -> list[str]:
    """Print what a start would report, and each route; give what it would warn of besides."""
    lines = config_lines(settings, []) + address_lines(settings) + exposure_lines(settings, _curve_key(settings))
    lines += _certificates(settings)
    lines += capacity_lines(settings, raise_fd_limit()) + routes_lines(settings, table.count, [])
    for level, text in lines:
        if level < logging.WARNING:
            print(text)
    for route in table.routes:
        print(f"  {_condition(route)} -> {' '.join(map(_target, route.targets))}")
    return [text for level, text in lines if level >= logging.WARNING]


def _reload_lines(settings: Settings) -> list[str]:
    """Say what a reload would change, if an instance of this configuration runs that this user may look into."""
    running = find_running(settings)
    if running is None or running[1].config_path != settings.config_path:
        return []
    pid, running_settings = running
    in_place, staying = describe_changes(compare_settings(running_settings, settings))
    return [
        f"process {pid} runs with this; a reload would change: {in_place or 'no setting'}",
        *([f"only a restart or `gripproxy upgrade` would change: {staying}"] if staying else []),
    ]


def _curve_key(settings: Settings) -> str | None:
    try:
        keys = read_curve_keys(settings)
    except ConfigError:
        return None  # it is one of the errors
    return None if keys is None else keys.public.decode()


def _certificates(settings: Settings) -> list[Line]:
    if not settings.https_ports:
        return []
    names, problems = CertificateStore(settings.certificates_directory() or "").load_all()
    return certificate_lines(settings, names, problems)


def _condition(route: Route) -> str:
    parts = [route.domain or "(by id only)"]
    if route.is_websocket is not None:
        parts.append("proto=ws" if route.is_websocket else "proto=http")
    if route.is_https is not None:
        parts.append("ssl=yes" if route.is_https else "ssl=no")
    if route.path_beg:
        parts.append(f"path_beg={route.path_beg.decode()}")
    if route.is_id_explicit:
        parts.append(f"id={route.id}")
    return ",".join(parts)


def _target(target: Target) -> str:
    """Name it, with what decides how it is spoken to."""
    return target.label + ",ssl" * target.is_ssl + ",over_http" * target.over_http
