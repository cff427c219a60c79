"""`gripproxy top`: connections, rates and latencies of a running proxy, on a terminal, once a second."""

import argparse
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import sys
import termios
import tty
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any, cast

from gripproxy.control_client import ControlClient, ControlPortError, UnreachableError, add_arguments, find_client
from gripproxy.errors import GripProxyError
from gripproxy.top_frame import Document, FrameLine, Style, cut, render

PATH = "/stats"
INTERVAL_MIN_S = 0.2
INTERVAL_MAX_S = 3600.0
_ENTER = "\x1b[?1049h\x1b[?25l"  # another screen, without a cursor
_LEAVE = "\x1b[?25h\x1b[?1049l"
_HOME, _LINE_END, _REST = "\x1b[H", "\x1b[K", "\x1b[J"
_RESET = "\x1b[0m"
_QUIT_KEYS = b"qQ\x03\x04"
ONCE_WIDTH = 200  # of text that goes to a file or a pipe

EPILOG = """\
On a terminal: q quits. If the output is no terminal, one frame is printed, as with --once.

examples:
  gripproxy top                                        the proxy that the configuration describes
  gripproxy top --url 'http://10.0.0.5:5561?key=KEY'   another one
  gripproxy top --once --json                          all figures as JSON, for scripts
"""


def main(argv: Sequence[str]) -> int:
    """Show the proxy that `argv` names. Gives the exit status: 0, or 1 if there was nothing to show."""
    options = new_parser().parse_args(argv)
    try:
        client = find_client(options)
        if options.once or options.json or not (sys.stdin.isatty() and sys.stdout.isatty()):
            return _print_frames(client, options)
        with _screen() as woken:
            _show(client, options, woken)
    except GripProxyError as error:
        print(f"gripproxy top: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # another way to quit
        pass
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what Python flushes at its end
    return 0


def _print_frames(client: ControlClient, options: argparse.Namespace) -> int:
    """Print one frame, or with ``--json`` alone one document a line until nobody wants more."""
    while True:
        document = _fetch(client, options.channels)
        if options.json:
            print(json.dumps(document), flush=True)
        else:
            width = shutil.get_terminal_size((ONCE_WIDTH, 0)).columns if sys.stdout.isatty() else ONCE_WIDTH
            print("\n".join(line.text.rstrip() for line in _render(document, width, None)))
        if options.once or not options.json:
            return 0
        select.select([], [], [], options.interval)


def _show(client: ControlClient, options: argparse.Namespace, woken: int) -> None:
    """Draw until a key says to stop. A proxy that is away for a while is waited for, if it was there at first."""
    document: Document | None = None
    is_due, note = True, ""
    while True:
        if is_due:
            try:
                document, note = _fetch(client, options.channels), ""
            except UnreachableError as error:
                if document is None:
                    raise
                note = str(error)
        if document is not None:
            _draw(document, note)
        readable, _, _ = select.select([sys.stdin.fileno(), woken], [], [], options.interval)
        is_due = not readable
        if woken in readable:
            os.read(woken, 64)
        if sys.stdin.fileno() in readable:
            keys = os.read(sys.stdin.fileno(), 64)
            if not keys or any(key in _QUIT_KEYS for key in keys):
                return


def _draw(document: Document, note: str) -> None:
    width, height = shutil.get_terminal_size()
    lines = _render(document, width, height)
    if note:
        lines.insert(1, FrameLine(cut(f"NOT NOW: {note}", width), Style.ALERT))
        del lines[height:]
    styled = [
        f"{line.style.value}{line.text.ljust(width) if line.style is Style.HEAD else line.text}{_RESET}{_LINE_END}"
        for line in lines
    ]
    sys.stdout.write(_HOME + "\r\n".join(styled) + _REST)
    sys.stdout.flush()


def _fetch(client: ControlClient, channels_count: int) -> Document:
    document = client.fetch_json(f"{PATH}?channels={channels_count}")
    if not isinstance(document, dict):
        raise ControlPortError(f"{PATH} answers no figures")
    return cast(dict[str, Any], document)


def _render(document: Document, width: int, height: int | None) -> list[FrameLine]:
    try:
        return render(document, width, height)
    except (KeyError, TypeError) as error:
        raise ControlPortError(f"{PATH} answers without {error}: is it another version of gripproxy?") from None


@contextlib.contextmanager
def _screen() -> Iterator[int]:
    """Take the terminal, and give it back as it was, whatever ends us. Gives what is readable after a signal."""
    before = termios.tcgetattr(sys.stdin)
    woken, waker = os.pipe()
    for end in (woken, waker):
        fcntl.fcntl(end, fcntl.F_SETFL, os.O_NONBLOCK)
    handlers = {number: signal.signal(number, _on_end) for number in (signal.SIGTERM, signal.SIGHUP)}
    handlers[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, lambda *_: None)
    fd_before = signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    try:
        tty.setcbreak(sys.stdin)
        sys.stdout.write(_ENTER)
        yield woken
    finally:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
        signal.set_wakeup_fd(fd_before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.close(woken)
        os.close(waker)


def _on_end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not INTERVAL_MIN_S <= seconds <= INTERVAL_MAX_S:
        raise argparse.ArgumentTypeError(f"not a number of seconds from {INTERVAL_MIN_S} to {INTERVAL_MAX_S}: {text!r}")
    return seconds


def new_parser() -> argparse.ArgumentParser:
    """Make the command's parser."""
    parser = argparse.ArgumentParser(
        prog="gripproxy top",
        description="Look at a running gripproxy: connections, rates, latencies, processes, routes, busiest channels.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_arguments(parser)
    add = parser.add_argument
    add("--interval", metavar="S", type=_seconds, default=1.0, help="seconds between two looks (default: 1)")
    add("--channels", metavar="N", type=int, default=20, help="so many of the busiest channels (default: 20)")
    add("--once", action="store_true", help="print one frame as text, and end")
    add("--json", action="store_true", help="print all figures as JSON, one document a line; with --once only one")
    return parser
