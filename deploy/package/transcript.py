"""Makes docs/transcript.md: the package installed, configured and run in a clean Debian, and what was said.

Nothing in it is written by hand: each command runs, and its output is what it said. It has a network of its own, so that the
ports of the example are free.
"""

import os
import platform
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from deploy.package.build import build
from deploy.package.debian_root import UNIT_PATH, DebianRoot
from deploy.package.prefix import program_version
from deploy.package.wheels import ROOT

PAGE_PATH = ROOT / "docs" / "transcript.md"
HELD_COUNT = 15_000
WAIT_S = 120.0
IN_NAMESPACE = "GRIPPROXY_TRANSCRIPT_NAMESPACE"
NOTIFY_SOCKET = "@gripproxy-transcript"

TWO_LINES = (
    "sed -i 's/^http_port=.*/http_port=8000,8001,8002,8003,8004,8005,8006,8007/; "
    "s/^client_maxconn=.*/client_maxconn=1001000/' /etc/gripproxy/gripproxy.conf"
)
MONITOR = """\
import zmq
monitor = zmq.Context().socket(zmq.SUB)
monitor.connect("ipc:///run/gripproxy/pushpin-stats")
monitor.subscribe(b"report ")
print(monitor.recv().decode())
"""


class Transcript:
    """The page under way."""

    def __init__(self, root: DebianRoot) -> None:
        self._root = root
        self.parts: list[str] = []

    def say(self, text: str) -> None:
        """Add a paragraph."""
        self.parts.append(text)

    def show(self, command: str, output: str) -> None:
        """Add a command with its output."""
        self.parts.append(f"```console\n# {command}\n{output.strip()}\n```".replace("\n\n```", "\n```"))

    def run(self, command: str) -> str:
        """Run a command in the clean Debian and add it."""
        output = self._root.run("sh", "-c", command).stdout
        self.show(command, output)
        return output


def main() -> None:
    """Make the page."""
    if IN_NAMESPACE not in os.environ:
        package = build(ROOT / "dist")
        os.environ[IN_NAMESPACE] = str(package)
        os.execvp("unshare", ["unshare", "--net", sys.executable, "-m", "deploy.package", "transcript"])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory(prefix="gripproxy-transcript-") as name, _network_before(Path(name)) as root:
        transcript = Transcript(root)
        _tell(transcript, root, Path(os.environ[IN_NAMESPACE]), Path(name))
    PAGE_PATH.write_text("\n\n".join(transcript.parts) + "\n")


@contextmanager
def _network_before(folder: Path) -> Iterator[DebianRoot]:
    """Make the clean Debian with the network of the process that started this one."""
    folder.chmod(0o755)
    root = DebianRoot(folder / "root")
    command = [
        sys.executable,
        "-c",
        f"from deploy.package.debian_root import *; DebianRoot(Path({str(root.path)!r})).make()",
    ]
    subprocess.run(["nsenter", "--net=/proc/1/ns/net", *command], check=True)
    yield root


def _tell(transcript: Transcript, root: DebianRoot, package: Path, folder: Path) -> None:
    transcript.say("# The package in a clean Debian 12")
    transcript.say(
        "<!-- Made by a run of: python -m deploy.package transcript -->\n\n"
        f"gripproxy {program_version()}, {os.cpu_count()} cores, Linux {platform.release()}; Debian made by debootstrap. "
        "Clients, origin and gripproxy share the machine."
    )
    transcript.say("## Install, and two lines of configuration")
    transcript.show(f"dpkg -i {package.name}", root.install(package))
    transcript.run(TWO_LINES)
    transcript.run("gripproxy check")
    transcript.say("## Start")
    transcript.say(
        "There is no systemd in this Debian. The unit is run as systemd would: its user, directories, capabilities, read-only "
        "file system and filters of system calls. What it tells systemd is what `systemctl status` shows."
    )
    with ExitStack() as stack:
        notices = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        notices.bind("\0" + NOTIFY_SOCKET.removeprefix("@"))
        notices.settimeout(WAIT_S)
        stack.enter_context(root.service(folder / "log", NOTIFY_SOCKET))
        said = _until(notices, "READY=1")
        unit_line = next(
            line for line in (root.path / UNIT_PATH).read_text().splitlines() if line.startswith("ExecStart=")
        )
        transcript.show(unit_line.removeprefix("ExecStart="), (folder / "log").read_text() + f"\nto systemd: {said}")
        _hold_and_publish(transcript, notices, stack)
    transcript.say("## Stop")
    tail = (folder / "log").read_text().splitlines()[-8:]
    transcript.show("systemctl stop gripproxy", "\n".join(line for line in tail if "GET " not in line))


def _hold_and_publish(transcript: Transcript, notices: socket.socket, stack: ExitStack) -> None:
    transcript.say("## Hold")
    transcript.say("The built-in test route holds who asks for `/stream`.")
    one = stack.enter_context(
        subprocess.Popen(["curl", "-sN", "http://localhost:8000/stream"], stdout=subprocess.PIPE, bufsize=0)
    )
    stack.callback(one.kill)
    opened = _read(one, b"\n")
    clients = [_hold(8000 + index % 8) for index in range(HELD_COUNT - 1)]
    transcript.show("curl -N http://localhost:8000/stream &", opened.decode())
    transcript.say(f"And {HELD_COUNT - 1:,} more like it, on ports 8000 to 8007.")
    transcript.say("## Publish")
    transcript.run("gripproxy-publish test 'hello world'")
    transcript.show("fg", _read(one, b"world\n").decode())
    late = [client for client in clients if not _has(client, b"hello world\n")]
    transcript.say(f"Of the others {len(clients) - len(late):,} have it as well, and {len(late)} have not.")
    transcript.say("## Monitor")
    transcript.say("What Pushpin's monitors read, a line every ten seconds, with its `connections`:")
    report = transcript_monitor(transcript)
    assert f"{HELD_COUNT}" in report, report
    transcript.run("gripproxy top --once | head -8")
    transcript.show("systemctl status gripproxy", _until(notices, "STATUS="))
    for client in clients:
        client.close()


def transcript_monitor(transcript: Transcript) -> str:
    """Show what the stats socket says when all are counted."""
    deadline = time.monotonic() + WAIT_S
    while True:
        output = transcript._root.run("/usr/lib/gripproxy/bin/python3", "-c", MONITOR).stdout
        if str(HELD_COUNT) in output or time.monotonic() > deadline:
            transcript.show(f"/usr/lib/gripproxy/bin/python3 <<END\n{MONITOR}END", output)
            return output


def _hold(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)
    client.sendall(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert _has(client, b"[stream opened]\n")
    return client


def _has(client: socket.socket, text: bytes) -> bool:
    received = b""
    while text not in received:
        data = client.recv(65_536)
        if not data:
            return False
        received += data
    return True


def _read(process: subprocess.Popen[bytes], end: bytes) -> bytes:
    assert process.stdout is not None
    text = b""
    while end not in text:
        readable, _, _ = select.select([process.stdout], [], [], WAIT_S)
        assert readable, f"nothing more after {text!r}"
        text += os.read(process.stdout.fileno(), 65_536)
    return text


def _until(notices: socket.socket, word: str) -> str:
    """Give the newest line that systemd would get and that has the word."""
    while True:
        text = notices.recv(65_536).decode()
        if word in text:
            return " ".join(text.split("\n"))
