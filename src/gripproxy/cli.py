"""The command line: joins the parts, nothing else.

The commands are imported only when they are asked for, so that `gripproxy publish` starts fast in scripts.
"""

import argparse
import contextlib
import dataclasses
import difflib
import functools
import importlib
import logging
import os
import signal
import sys
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, NoReturn

from gripproxy import __version__
from gripproxy.errors import ConfigError
from gripproxy.log_levels import LogLevels, decode_log_levels

if TYPE_CHECKING:
    from gripproxy.config_file import Overrides
    from gripproxy.settings import Settings
    from gripproxy.supervisor.elder import Elder
    from gripproxy_worker.certificates import CertificateStore

FAILURE_STATUS = 1
INTERRUPTED_STATUS = 130  # as a shell gives it for SIGINT

# Each module has `main(argv) -> int`.
COMMANDS = {
    "publish": "gripproxy.publish_command",
    "check": "gripproxy.check_command",
    "doctor": "gripproxy.doctor.command",
    "demo": "gripproxy.demo.command",
    "top": "gripproxy.top_command",
    "tail": "gripproxy.tail_command",
    "relay": "gripproxy.relay.command",
    "upgrade": "gripproxy.upgrade_command",
}

HELP_EPILOG = """\
commands (each has its own --help):
  gripproxy publish CHANNEL CONTENT    publish an item to a running gripproxy or Pushpin
  gripproxy check --config FILE        check configuration and routes without starting
  gripproxy doctor --connections N     check this machine's limits for so many clients
  gripproxy top                        look at a running gripproxy: connections, rates, latencies
  gripproxy upgrade                    replace a running gripproxy by the installed version; no client is dropped
  gripproxy tail                       follow its requests, holds and publishes
  gripproxy relay --in A --out B       stand between many publishers and many hosts
  gripproxy demo                       run with a built-in demo origin and a page to try it

configuration: the first of ./config/gripproxy.conf, ./gripproxy.conf and /etc/gripproxy/gripproxy.conf;
  without any of them, defaults that serve the built-in test route

examples:
  gripproxy                                          clients on port 7999, publishers on 5560-5562
  gripproxy --config /etc/pushpin/pushpin.conf       run on an existing Pushpin configuration
  gripproxy --port 8000 --route '* localhost:80'     put it in front of a local web server
  gripproxy --id 1 --port 8100                       run a second instance beside the first

signals:
  TERM, INT   stop the workers, then the hub; a second one kills them at once
  HUP         read configuration, routes, keys and certificates again, and reopen the log file
  USR2        hand over to the version that is installed now, as `gripproxy upgrade` does
"""

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that `argv` (without the program's name) asks for. Gives the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments and arguments[0] in COMMANDS:
            status: int = importlib.import_module(COMMANDS[arguments[0]]).main(arguments[1:])
            return status
        parser = new_parser()
        if arguments and not arguments[0].startswith("-"):
            parser.error(_no_command(arguments[0]))
        return _run_proxy(parser.parse_args(list(map(parser.with_two_dashes, arguments))))
    except KeyboardInterrupt:
        return INTERRUPTED_STATUS


def _no_command(name: str) -> str:
    nearest = difflib.get_close_matches(name, COMMANDS, n=1)
    meant = f"; meant {nearest[0]}?" if nearest else "."
    return f"there is no command {name}{meant} Commands: {', '.join(sorted(COMMANDS))}"


class ProxyParser(argparse.ArgumentParser):
    """A parser with the manners of Pushpin's: one dash will do for a long option, and bad usage is status 1."""

    def with_two_dashes(self, argument: str) -> str:
        """Give ``--port`` for ``-port``, ``--id=1`` for ``-id=1``; anything else as it is."""
        is_long = "-" + argument.partition("=")[0] in self._option_string_actions
        return "-" + argument if is_long else argument

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(FAILURE_STATUS, f"{self.prog}: error: {message}\n")


def new_parser() -> ProxyParser:
    """Make the parser of the command without a name, which runs the proxy."""
    parser = ProxyParser(
        prog="gripproxy",
        description="GRIP push proxy: holds client connections open for an origin and pushes published items to them.",
        epilog=HELP_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--config", metavar="FILE", help="configuration file, in the format of pushpin.conf (default: see below)")
    add("--workers", metavar="N", type=_workers, help="worker processes (default: one per CPU core)")
    add("--port", metavar="[ADDR:]PORT", help="listen for clients here only, whatever the file says")
    add(
        "--route",
        metavar="LINE",
        action="append",
        default=[],
        help="a line of a routes file; repeatable; replaces the file",
    )
    add("--id", metavar="N", type=_id, help="instance number: other socket names, publish ports plus 10 * N")
    add("--rundir", metavar="DIR", help="directory for the sockets and the lock file of this instance")
    add(
        "--loglevel",
        metavar="N",
        type=_log_levels,
        help="0 errors, 1 warnings, 2 information (default), 3 debug; N,NAME:N for supervisor, hub or worker",
    )
    add("--verbose", action="store_true", help="the same as --loglevel=3")
    add("--logfile", metavar="FILE", help="append log lines to this file instead of standard error")
    add("-m", "--merge-output", action="store_true", help="accepted for Pushpin's sake: output is always merged")
    add("-v", "--version", action="version", version=f"gripproxy {__version__}")
    return parser


def _run_proxy(options: argparse.Namespace) -> int:
    from gripproxy.supervisor.elder import Elder

    elder = Elder.from_environment()
    try:
        return _serve(options, elder)
    except ConfigError as error:
        text = str(error)
    except OSError as error:  # the log file, or a limit of the system
        text = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    except Exception as error:
        if elder is not None:  # whoever waits for the upgrade hears what our log says at length
            elder.fail(f"{type(error).__name__}: {error}")
        raise
    if elder is not None:
        elder.fail(text)
    print("\n".join(f"gripproxy: error: {line}" for line in text.splitlines()), file=sys.stderr)
    if options.logfile and logging.getLogger().hasHandlers():
        log.error(text)
    return FAILURE_STATUS


def _serve(options: argparse.Namespace, elder: "Elder | None") -> int:
    """Read everything, say what it comes to, and hand over to the supervisor until the end.

    What the children need is imported here, before the fork, so that they share its memory, and that nothing has to
    be read later, when the files on disk may be a newer version's.
    """
    from gripproxy import logs
    from gripproxy.bus.hub import hub_main
    from gripproxy.config_file import load_settings
    from gripproxy.config_reload import ConfigReload
    from gripproxy.handover import UPGRADE_SIGNAL
    from gripproxy.kept_settings import forget_settings, keep_settings
    from gripproxy.supervisor.estate import Estate
    from gripproxy.supervisor.inheritance import Inheritance
    from gripproxy.supervisor.init_process import INIT_PID, stay
    from gripproxy.supervisor.run_directory import InstanceLock, prepare_run_directory
    from gripproxy.supervisor.successor import this_program
    from gripproxy.supervisor.supervisor import Supervisor
    from gripproxy_worker.main import worker_main
    from gripproxy_worker.shared_listeners import SharedListeners

    signal.signal(UPGRADE_SIGNAL, signal.SIG_IGN)  # until the supervisor can take it
    if elder is not None:
        elder.use_stderr()
    overrides = _overrides(options)
    settings, warnings = load_settings(options.config, overrides)
    logs.set_up(settings.log_level, options.logfile, settings.log_format == "json")
    prepare_run_directory(settings)
    legacy = None if elder is None else elder.introduce(InstanceLock(settings).path)
    if legacy is not None:
        settings = dataclasses.replace(settings, generation=legacy.generation + 1)
    with contextlib.closing(InstanceLock(settings, None if legacy is None else legacy.lock_fd)) as lock:
        if legacy is None:
            lock.acquire()
            taken: tuple[Collection[str], dict[str, int]] = (), {}
        else:
            taken = legacy.listeners, legacy.local_fds
        with contextlib.closing(SharedListeners(settings, *taken)) as shared:
            _report_start(settings, warnings, shared.certificates)
            keep_settings(settings)
            child_main = functools.partial(worker_main, shared=shared)
            estate = Estate(program=this_program(), lock=lock, local_fds=shared.local_fds(), shared=shared)
            inheritance = None
            if elder is not None and legacy is not None:
                inheritance = Inheritance(settings, elder, legacy, estate)
            read = ConfigReload(overrides)
            supervisor = Supervisor(settings, hub_main, child_main, read=read, estate=estate, inheritance=inheritance)
            try:
                status = supervisor.run()
            finally:
                forget_settings(settings)
    if supervisor.heir_pid is not None and os.getpid() == INIT_PID:
        return stay(supervisor.heir_pid, lock.find_owner)
    return status


def _report_start(settings: "Settings", warnings: list[str], certificates: "CertificateStore") -> None:
    from gripproxy.bus.curve import read_curve_keys
    from gripproxy.fd_limit import raise_fd_limit
    from gripproxy.routes_file import read_routes
    from gripproxy.signing_keys import read_publish_key, read_signing_keys, read_upstream_key
    from gripproxy.start_report import (
        address_lines,
        capacity_lines,
        certificate_lines,
        config_lines,
        exposure_lines,
        routes_lines,
    )

    lines = config_lines(settings, warnings)
    table, route_warnings = read_routes(settings, is_keeper=True)
    _, key_warnings = read_signing_keys(settings, table.routes)
    read_upstream_key(settings)  # one that is unusable stops the start here, with its reason
    read_publish_key(settings)
    curve_keys = read_curve_keys(settings)
    lines += routes_lines(settings, table.count, route_warnings + key_warnings)
    lines += address_lines(settings)
    lines += exposure_lines(settings, None if curve_keys is None else curve_keys.public.decode())
    names, problems = certificates.load_all() if settings.https_ports else ([], [])
    lines += certificate_lines(settings, names, problems)
    lines += capacity_lines(settings, raise_fd_limit())
    for level, text in lines:
        log.log(level, "%s", text)


def _overrides(options: argparse.Namespace) -> "Overrides":
    from gripproxy.config_file import Overrides

    return Overrides(
        port=options.port,
        routes=tuple(options.route),
        workers=options.workers,
        log_level=LogLevels.all(3) if options.verbose else options.loglevel,
        id=options.id,
        rundir=options.rundir,
    )


def _number(text: str, name: str, minimum: int) -> int:
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{name} is not a whole number: {text!r}") from None
    if number < minimum:
        raise argparse.ArgumentTypeError(f"{name} must be greater than or equal to {minimum}, not {number}")
    return number


def _workers(text: str) -> int:
    return _number(text, "the number of workers", 1)


def _id(text: str) -> int:
    return _number(text, "id", 0)


def _log_levels(text: str) -> LogLevels:
    try:
        return decode_log_levels(text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    sys.exit(main())
