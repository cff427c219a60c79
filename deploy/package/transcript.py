"""Makes docs/transcript.md: the package installed, configured and run in a clean Debian, and what was said.

Nothing in it is written by hand: each command runs, and its output is what it said. It has a network of its own, so
that the ports of the example are free.
"""

import os
import platform
import select
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from deploy.package.build import build
from deploy.package.debian_root import UNIT_PATH, DebianRoot
from deploy.package.prefix import program_version
from deploy.package.wheels import ROOT

PAGE_PATH = ROOT / "docs" / "transcript.md"
HELD_COUNT = 15_000
WAIT_S = 120.0
NEWER_VERSION = f"{program_version()}.1"  # the same program, which says that it is newer
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
        self.root = root
        self.parts: list[str] = []

    def say(self, text: str) -> None:
        """Add a paragraph."""
        self.parts.append(text)

    def show(self, command: str, output: str) -> None:
        """Add a command with its output."""
        self.parts.append(f"```console\n# {command}\n{output.strip()}\n```".replace("\n\n```", "\n```"))

    def run(self, command: str) -> str:
        """Run a command in the clean Debian and add it."""
        output = self.root.run("sh", "-c", command).stdout
        self.show(command, output)
        return output


def main() -> None:
    """Make the page."""
    if IN_NAMESPACE in os.environ:
        folder = Path(os.environ[IN_NAMESPACE])
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        transcript = Transcript(DebianRoot(folder / "root"))
        _tell(transcript, folder)
        PAGE_PATH.write_text("\n\n".join(transcript.parts) + "\n")
        return
    with tempfile.TemporaryDirectory(prefix="gripproxy-transcript-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        build(folder)
        build(folder, NEWER_VERSION)
        DebianRoot(folder / "root").make()
        command = ["unshare", "--net", sys.executable, "-m", "deploy.package", "transcript"]
        subprocess.run(command, env=os.environ | {IN_NAMESPACE: name}, check=True)


def _tell(transcript: Transcript, folder: Path) -> None:
    root = transcript.root
    package, newer = (folder / f"gripproxy_{version}_amd64.deb" for version in (program_version(), NEWER_VERSION))
    transcript.say("# The package in a clean Debian 12")
    transcript.say(
        "<!-- Made by a run of: python -m deploy.package transcript -->\n\n"
        f"gripproxy {program_version()}, {os.cpu_count()} cores, Linux {platform.release()}; Debian made by "
        "debootstrap. Clients, origin and gripproxy share the machine."
    )
    transcript.say("## Install, and two lines of configuration")
    transcript.show(f"dpkg -i {package.name}", root.install(package))
    transcript.run(TWO_LINES)
    transcript.run("gripproxy check")
    transcript.say("## Start")
    transcript.say(
        "There is no systemd in this Debian. The unit is run as systemd would: its user, directories, capabilities, "
        "read-only file system and filters of system calls. What it tells systemd is what `systemctl status` shows."
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
        clients = _hold_and_publish(transcript, notices, stack)
        _upgrade(transcript, clients, newer, folder / "log")
        transcript.say("## Stop")
        before = len(_told(folder / "log"))
        root.run("sh", "-c", "kill -TERM $(cat /run/gripproxy/pushpin-gripproxy.pid)")
        ended = sum(_is_ended(client) for client in clients)
        while root.pids():
            time.sleep(0.1)
        lines = _told(folder / "log")[before:]
        transcript.show("kill -TERM $(cat /run/gripproxy/pushpin-gripproxy.pid)", "\n".join(lines))
        transcript.say(f"Of the {len(clients):,} streams {ended:,} were ended with their last chunk.")


def _hold_and_publish(transcript: Transcript, notices: socket.socket, stack: ExitStack) -> list[socket.socket]:
    """Give the clients that are held then."""
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
    report = _monitor(transcript)
    assert f"{HELD_COUNT}" in report, report
    transcript.run("gripproxy top --once | head -8")
    transcript.say("And what it tells systemd, which `systemctl status gripproxy` shows:")
    transcript.show("journalctl -u gripproxy -f", _until(notices, f"STATUS={HELD_COUNT}"))
    return clients


def _upgrade(transcript: Transcript, clients: list[socket.socket], newer: Path, log_path: Path) -> None:
    transcript.say("## Upgrade, while they are held")
    before = len(_told(log_path))
    transcript.show(f"dpkg -i {newer.name}", transcript.root.install(newer))
    transcript.show("journalctl -u gripproxy", "\n".join(_told(log_path)[before:]))
    transcript.run("gripproxy-publish test 'hello from the new version'")
    late = [client for client in clients if not _has(client, b"hello from the new version\n")]
    transcript.say(f"{len(clients) - len(late):,} of the {len(clients):,} have it, and {len(late)} have not.")
    transcript.run("gripproxy top --once | head -3")


def _told(log_path: Path) -> list[str]:
    """Give the lines of the log that are not about single requests."""
    lines = log_path.read_text().splitlines()
    return [line for line in lines if "] GET " not in line and "] subscribe " not in line]


def _is_ended(client: socket.socket) -> bool:
    """Wait for the end of a stream; tell whether it was a proper one."""
    with client:
        received = b""
        while data := client.recv(65_536):
            received += data
        return received.endswith(b"0\r\n\r\n")


def _monitor(transcript: Transcript) -> str:
    """Show what the stats socket says when all are counted."""
    deadline = time.monotonic() + WAIT_S
    while True:
        output = transcript.root.run("/usr/lib/gripproxy/bin/python3", "-c", MONITOR).stdout
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
