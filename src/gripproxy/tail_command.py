"""`gripproxy tail`: requests, holds and publishes of a running proxy as they happen, one a line, until interrupted."""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from urllib.parse import urlencode

from gripproxy.control_client import ControlClient, UnreachableError, add_arguments, find_client
from gripproxy.errors import GripProxyError

PATH = "/events"
KINDS = ("request", "hold", "publish")
RETRY_S = 1.0  # a proxy that is restarted is back soon

EPILOG = """\
Lines are those of the log, whatever the log is configured to say. A request has no channel, and a
publish no route: --channel leaves out requests, --route leaves out publishes.

examples:
  gripproxy tail                          everything
  gripproxy tail --channel news           holds on a channel, and what is published to it
  gripproxy tail --channel 'room-*'       on all channels whose name begins so
  gripproxy tail --route shop --kind request --json
"""


def main(argv: Sequence[str]) -> int:
    """Print what happens in the proxy that `argv` names. Gives the exit status: 0, or 1 if there is none."""
    options = new_parser().parse_args(argv)
    try:
        _follow(find_client(options), options)
    except GripProxyError as error:
        print(f"gripproxy tail: error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what Python flushes at its end
    return 0


def _follow(client: ControlClient, options: argparse.Namespace) -> None:
    """Print lines, and go on after a restart of the proxy: only one that was never there is an error."""
    path = event_path(options)
    accept = "application/x-ndjson" if options.json else "text/plain"
    left_count, is_first = options.count, True
    while True:
        try:
            for line in client.lines(path, accept):
                is_first = False
                if line:
                    sys.stdout.buffer.write(line + b"\n")
                    sys.stdout.buffer.flush()
                    left_count -= 1
                    if not left_count:
                        return
            note = "the proxy ended the stream"
        except UnreachableError as error:
            if is_first:
                raise
            note = str(error)
        print(f"gripproxy tail: {note}; trying again", file=sys.stderr)
        time.sleep(RETRY_S)


def event_path(options: argparse.Namespace) -> str:
    """Give the path with its query."""
    pairs = [("channel", name) for name in options.channel]
    pairs += [("route", name) for name in options.route]
    pairs += [("kind", name) for name in options.kind]
    return f"{PATH}?{urlencode(pairs)}" if pairs else PATH


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= 9 and int(text)):
        raise argparse.ArgumentTypeError(f"not a number above 0: {text!r}")
    return int(text)


def new_parser() -> argparse.ArgumentParser:
    """Make the command's parser."""
    parser = argparse.ArgumentParser(
        prog="gripproxy tail",
        description="Follow requests, holds and publishes of a running gripproxy.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_arguments(parser)
    add = parser.add_argument
    add("--channel", metavar="NAME", action="append", default=[], help="only this channel; repeatable; NAME* for many")
    add("--route", metavar="ID", action="append", default=[], help="only the route with this id; repeatable")
    add("--kind", choices=KINDS, action="append", default=[], help="only this kind; repeatable")
    add("-n", "--count", metavar="N", type=_count, default=0, help="end after so many lines")
    add("--json", action="store_true", help="one JSON object a line")
    return parser
