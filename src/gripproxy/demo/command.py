"""``gripproxy demo``: start the demo's origin, say what to open and paste, and become the proxy in front of it."""

import argparse
import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from gripproxy.settings import WORKERS_MAX_COUNT, ListenAddress

FAILURE_STATUS = 1
DEFAULT_PORT = 7999
PUBLISH_PORTS = (5560, 5561, 5562, 5563)  # ZeroMQ PULL, HTTP, ZeroMQ SUB, commands; `--id N` adds 10 * N to each
CONTROL_PORT = 5561
ID_MAX = 5900  # 5563 + 10 * 5900 is still a port

BANNER = """
gripproxy demo: open {url} in a browser, or paste into other terminals:

  hold a stream      curl -N '{url}stream?channel=demo'
  hold a long-poll   curl '{url}poll?channel=demo'
  open a WebSocket   {socket_url}chat?channel=demo
  publish            {publish_command}
  publish with curl  curl -d '{{"items":[{{"channel":"demo","http-stream":{{"content":"data: hello\\n\\n"}}}}]}}' \\
                          {control_url}/publish/
  look at it live    {control_url}/dashboard

Control-C ends it.
"""


def main(argv: Sequence[str]) -> int:
    """Run the demo as `argv` (without the command's name) says.

    Returns only when it cannot start: this process becomes the proxy's supervisor, and the origin ends with it.
    """
    options = new_parser().parse_args(argv)
    complaints = port_complaints(options)
    if complaints:
        print("\n".join(f"gripproxy demo: {complaint}" for complaint in complaints), file=sys.stderr)
        return FAILURE_STATUS
    origin_port = start_origin(control_url(options), publish_command(options))
    if origin_port is None:
        print("gripproxy demo: the demo's origin did not start", file=sys.stderr)
        return FAILURE_STATUS
    print(banner(options), flush=True)
    os.execv(sys.executable, [sys.executable, "-m", "gripproxy.cli", *proxy_arguments(options, origin_port)])


def new_parser() -> argparse.ArgumentParser:
    """Make the command's parser."""
    parser = argparse.ArgumentParser(
        prog="gripproxy demo",
        description="Run gripproxy in front of a built-in demo origin, with a page to try it in a browser.",
        epilog="example: gripproxy demo --host 0.0.0.0 --port 8080   lets other machines see the page",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", metavar="ADDR", help="address that clients connect to (%(default)s)")
    add("--port", type=_port, default=DEFAULT_PORT, metavar="PORT", help="port that clients connect to (%(default)s)")
    add(
        "--id", type=_id, default=0, metavar="N", help="instance number: moves the publish ports 5560-5563 up by 10 * N"
    )
    add("--workers", type=_workers, metavar="N", help="worker processes (default: one per CPU core)")
    add("--rundir", metavar="DIR", help="directory for the proxy's sockets and lock file")
    add("--loglevel", default="1", metavar="N", help="0 errors, 1 warnings (default), 2 information, 3 debug")
    return parser


def publish_ports(options: argparse.Namespace) -> list[int]:
    return [port + 10 * options.id for port in PUBLISH_PORTS]


def control_url(options: argparse.Namespace) -> str:
    return f"http://127.0.0.1:{CONTROL_PORT + 10 * options.id}"


def page_url(options: argparse.Namespace) -> str:
    """Give the page's address as this machine reaches it."""
    host = "localhost" if options.host in ("0.0.0.0", "127.0.0.1") else options.host
    return f"http://{ListenAddress(host=host, port=options.port)}/"


def publish_command(options: argparse.Namespace) -> str:
    """Give a command line that publishes one event to the page and can be pasted into a shell in this directory."""
    spec = f" --spec {control_url(options)}" if options.id else ""
    return f"{publish_program()}{spec} --no-eol demo $'data: hello from the terminal\\n\\n'"


def publish_program() -> str:
    """Give the shortest name under which this installation's publish tool can be started from here."""
    name = "gripproxy-publish"
    if shutil.which(name):
        return name
    script = Path(sys.executable).with_name(name)
    if not script.exists():
        return f"{shlex.quote(sys.executable)} -m gripproxy.cli publish"
    return shlex.quote(str(script.relative_to(Path.cwd()) if script.is_relative_to(Path.cwd()) else script))


def banner(options: argparse.Namespace) -> str:
    """Give the text that says what to open and what to paste."""
    return BANNER.format(
        url=page_url(options),
        socket_url=page_url(options).replace("http:", "ws:", 1),
        publish_command=publish_command(options),
        control_url=control_url(options),
    )


def proxy_arguments(options: argparse.Namespace, origin_port: int) -> list[str]:
    """Give the command line of a proxy whose only route leads to the demo's origin."""
    arguments = [
        "--port",
        str(ListenAddress(host=options.host, port=options.port)),
        "--route",
        f"* 127.0.0.1:{origin_port},over_http",
    ]
    arguments += ["--loglevel", options.loglevel]
    if options.id:
        arguments += ["--id", str(options.id)]
    if options.workers is not None:
        arguments += ["--workers", str(options.workers)]
    if options.rundir is not None:
        arguments += ["--rundir", options.rundir]
    return arguments


def port_complaints(options: argparse.Namespace) -> list[str]:
    """Say which ports are not to be had, each with the option that chooses another."""
    complaints = []
    reason = _bind_refusal(options.host, options.port)
    if reason:
        address = ListenAddress(host=options.host, port=options.port)
        complaints.append(f"cannot listen on {address}: {reason}; choose another with --port or --host")
    taken = [port for port in publish_ports(options) if _bind_refusal("127.0.0.1", port)]
    if taken:
        listed = ", ".join(map(str, taken))
        complaints.append(f"in use by another program: 127.0.0.1 port {listed}; move them with --id {options.id + 1}")
    return complaints


def start_origin(publish_url: str, publish_line: str) -> int | None:
    """Start the origin as a process of its own and give its port, or None if it ended instead.

    The write end of its standard input stays open in this process and in whatever it becomes, and nowhere else after
    that is gone: its end of file ends the origin.
    """
    read_fd, write_fd = os.pipe()
    argv = [
        sys.executable,
        "-m",
        "gripproxy.demo.origin",
        "--control-url",
        publish_url,
        "--publish-command",
        publish_line,
    ]
    origin = subprocess.Popen(argv, stdin=read_fd, stdout=subprocess.PIPE)
    os.close(read_fd)
    os.set_inheritable(write_fd, True)
    assert origin.stdout is not None
    with origin.stdout:
        first_line = origin.stdout.readline()
    return int(first_line) if first_line else None


def _bind_refusal(host: str, port: int) -> str | None:
    """Say why nobody can listen there now. Without SO_REUSEPORT: another gripproxy's port counts as taken."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
    return None


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65_535:
        raise argparse.ArgumentTypeError(f"not a port: {text!r}")
    return int(text)


def _workers(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= WORKERS_MAX_COUNT:
        raise argparse.ArgumentTypeError(f"not a number from 1 to {WORKERS_MAX_COUNT}: {text!r}")
    return int(text)


def _id(text: str) -> int:
    if not text.isdecimal() or int(text) > ID_MAX:
        raise argparse.ArgumentTypeError(f"not a number from 0 to {ID_MAX}: {text!r}")
    return int(text)
