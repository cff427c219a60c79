"""`gripproxy relay`: passes items of many publishers on to many hosts, and hosts' subscriptions to the publishers."""

import argparse
import logging
import sys
from collections.abc import Sequence

from gripproxy import logs
from gripproxy.bus.curve import read_curve_key
from gripproxy.config_values import Surroundings, convert_spec
from gripproxy.errors import ConfigError
from gripproxy.log_levels import LogLevels
from gripproxy.relay.plan import QUEUE_MAX_COUNT, RelayPlan, SidePlan

EPILOG = """\
Publishers connect their PUB sockets to --in. Hosts connect to --out:

  [handler]
  push_in_sub_specs=tcp://relay.example:5565
  push_in_sub_connect=true

A publisher sends only what some host has subscribed to, and a host gets only what it has subscribed to.
With several relays, publishers and hosts connect to each: items that have an id are passed on once.

SIGTERM lets publishers keep what they have not sent yet, passes on what they have, and ends; SIGHUP
reopens the log file.

keys: Z85 text or file:PATH; a pair, public and secret, is made by
  /usr/lib/gripproxy/bin/python3 -c "import zmq; print(*(key.decode() for key in zmq.curve_keypair()))"
One that begins with a hyphen is written as --curve-secret-key=KEY.

examples:
  gripproxy relay --in tcp://0.0.0.0:5562 --out tcp://0.0.0.0:5565
  gripproxy relay --in tcp://0.0.0.0:5562 --out tcp://0.0.0.0:5565 --metrics 127.0.0.1:9002 \\
      --curve-secret-key file:relay.key --in-client-key file:site.key --out-client-key file:hosts.key
  gripproxy relay --in-connect tcp://other-relay.example:5565 --out tcp://0.0.0.0:5565
"""
FAILURE_STATUS = 1
QUEUE_LIMIT_COUNT = 10_000_000

log = logging.getLogger(__name__)


def main(argv: Sequence[str]) -> int:
    """Run a relay as `argv` says until it is told to stop. Gives the exit status."""
    parser = new_parser()
    options = parser.parse_args(argv)
    try:
        plan = read_plan(options)
        logs.set_up(LogLevels.all(options.loglevel), options.logfile)
        logs.set_process_name("relay")
        _run(plan)
    except ConfigError as error:
        print(f"gripproxy relay: error: {error}", file=sys.stderr)
        return FAILURE_STATUS
    except OSError as error:
        print(f"gripproxy relay: error: {error.filename or ''} {error.strerror}", file=sys.stderr)
        return FAILURE_STATUS
    return 0


def _run(plan: RelayPlan) -> None:
    import uvloop

    from gripproxy.relay.relay import Relay
    from gripproxy.supervisor.notify import Notifier

    uvloop.run(Relay(plan, Notifier.from_environment()).run())


def read_plan(options: argparse.Namespace) -> RelayPlan:
    """Make the plan of the command line.

    Raises:
        ConfigError: a side has no address or none that can be used, a key cannot be used, or it would not be asked for.
    """
    secret = None
    if options.curve_secret_key is not None:
        secret = read_curve_key("--curve-secret-key", options.curve_secret_key, "secret")
    return RelayPlan(
        publishers=_read_side(options, "in", "publisher", secret),
        hosts=_read_side(options, "out", "host", secret),
        queue_max_count=options.queue,
        secret_key=secret,
        metrics_spec=options.metrics,
    )


def _read_side(options: argparse.Namespace, name: str, noun: str, secret: bytes | None) -> SidePlan:
    values = vars(options)
    binds = _check_specs(f"--{name}", values[f"{name}_binds"])
    connects = _check_specs(f"--{name}-connect", values[f"{name}_connects"])
    if not binds and not connects:
        raise ConfigError(f"--{name} or --{name}-connect says where {noun}s are; neither is given")
    server_key_text, client_key_texts = values[f"{name}_server_key"], values[f"{name}_client_keys"]
    clients = frozenset(read_curve_key(f"--{name}-client-key", text, "public") for text in client_key_texts)
    server_key = None
    if server_key_text is not None:
        server_key = read_curve_key(f"--{name}-server-key", server_key_text, "public")
    if clients and (secret is None or server_key is not None):
        reason = "without --curve-secret-key" if secret is None else f"together with --{name}-server-key"
        raise ConfigError(f"--{name}-client-key {reason}: nobody would be kept out")
    if server_key is not None and binds:
        raise ConfigError(f"--{name}-server-key is for --{name}-connect: who connects to --{name} is a client too")
    return SidePlan(name=name, noun=noun, binds=binds, connects=connects, server_key=server_key, client_keys=clients)


def _check_specs(option: str, specs: list[str]) -> tuple[str, ...]:
    """Refuse what ZeroMQ would take otherwise than it is meant, such as a port of more than 16 bits."""
    try:
        return tuple(convert_spec(spec, Surroundings()) for spec in specs)
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from None


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 8 and 0 < int(text) <= QUEUE_LIMIT_COUNT):
        raise argparse.ArgumentTypeError(f"not a number from 1 to {QUEUE_LIMIT_COUNT}: {text!r}")
    return int(text)


def new_parser() -> argparse.ArgumentParser:
    """Make the command's parser."""
    parser = argparse.ArgumentParser(
        prog="gripproxy relay",
        description="Pass items of many publishers on to many hosts, so that neither side must know the other.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    for name, noun in (("in", "publishers"), ("out", "hosts")):
        add(
            f"--{name}",
            metavar="SPEC",
            dest=f"{name}_binds",
            action="append",
            default=[],
            help=f"ZeroMQ address for {noun} to connect to; repeatable",
        )
        add(
            f"--{name}-connect",
            metavar="SPEC",
            dest=f"{name}_connects",
            action="append",
            default=[],
            help=f"address of {noun}, or of a relay, to connect to; repeatable",
        )
    queue_help = f"items that may wait for a host; more are dropped for it (default: {QUEUE_MAX_COUNT})"
    add("--queue", metavar="N", type=_count, default=QUEUE_MAX_COUNT, help=queue_help)
    add("--metrics", metavar="[ADDR:]PORT", help="serve metrics, /healthz and /readyz here by HTTP")
    add(
        "--curve-secret-key",
        metavar="KEY",
        help="the relay's own key, for encryption on both sides",
    )
    for name, noun in (("in", "publishers"), ("out", "hosts")):
        key_help = f"public key of {noun} that may come in; repeatable (default: all who know the relay's)"
        dest = f"{name}_client_keys"
        add(f"--{name}-client-key", metavar="KEY", dest=dest, action="append", default=[], help=key_help)
        add(f"--{name}-server-key", metavar="KEY", help=f"public key of those that --{name}-connect leads to")
    level_help = "0 errors, 1 warnings, 2 information (default), 3 debug"
    add("--loglevel", metavar="N", type=int, choices=range(4), default=2, help=level_help)
    add("--logfile", metavar="FILE", help="append log lines to this file instead of standard error")
    return parser
