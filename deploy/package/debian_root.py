"""A clean Debian in a directory, in which the package is installed and its service runs as its unit says.

There is no systemd in it. What systemd would do with the unit is done here: its user, directories, capabilities, a
read-only file system, and its filters of system calls.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from deploy.package.wheels import ROOT

SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
# What the package depends on, but for the C library and what every Debian has.
PACKAGES = ("python3", "adduser", "libstdc++6")
ARCHIVE_PATH = ROOT / "build" / f"{SUITE}-{'-'.join(PACKAGES)}.tar"
UNIT_PATH = Path("lib/systemd/system/gripproxy.service")
SANDBOX_PATH = Path(__file__).with_name("service_sandbox.py")
FILTERS_PROGRAM = Path(__file__).with_name("service_filters.py")
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}

# A mount namespace of its own for each command: nothing stays mounted, whatever happens.
_ENTER = 'mount --rbind /proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" "$@"'
# As systemd does: all is read-only but the service's directories.
_ENTER_READ_ONLY = """
mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" &&
mount --bind "$0/run/gripproxy" "$0/run/gripproxy" && mount -o remount,bind,rw "$0/run/gripproxy" &&
mount --bind "$0/var/log/gripproxy" "$0/var/log/gripproxy" && mount -o remount,bind,rw "$0/var/log/gripproxy" &&
mount -t tmpfs tmpfs "$0/tmp" && mkdir "$0/tmp/sandbox" && cp -r "$SANDBOX"/. "$0/tmp/sandbox" &&
mount --rbind /proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" "$@"
"""


class DebianRoot:
    """The directory. All commands run as root of this machine."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self) -> None:
        """Fill the directory with a clean Debian. The first is kept at `ARCHIVE_PATH`, and the others are copies."""
        self.path.mkdir()
        tar = ("tar", "--numeric-owner", f"--directory={self.path}")
        if ARCHIVE_PATH.exists():
            _do(*tar, "--extract", f"--file={ARCHIVE_PATH}")
            return
        _do("debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(self.path), MIRROR)
        (self.path / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")  # as Debian's installer does
        ARCHIVE_PATH.parent.mkdir(exist_ok=True)
        draft = ARCHIVE_PATH.with_suffix(f".{os.getpid()}")
        _do(*tar, "--create", f"--file={draft}", ".")
        draft.replace(ARCHIVE_PATH)

    def run(self, *command: str, is_checked: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in it. Its output, of both kinds together, is in ``stdout``."""
        result = subprocess.run(
            self._entering(_ENTER, command),
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if is_checked and result.returncode:
            raise AssertionError(f"{' '.join(command)}: status {result.returncode}\n{result.stdout}")
        return result

    def install(self, package: Path) -> str:
        """Install the package as an administrator does who has it as a file. Gives what was said."""
        copy = self.path / "var" / "tmp" / package.name
        shutil.copyfile(package, copy)
        try:
            return self.run("dpkg", "--install", f"/var/tmp/{package.name}").stdout
        finally:
            copy.unlink()

    def files(self) -> set[str]:
        """List all files and directories."""
        return {os.path.join(folder, name) for folder, names, files in os.walk(self.path) for name in [*names, *files]}

    def _entering(self, script: str, command: Sequence[str]) -> list[str]:
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, str(self.path), *command]

    @contextlib.contextmanager
    def service(self, log_path: Path, notify_socket: str | None = None) -> Iterator[subprocess.Popen[bytes]]:
        """Run the package's unit while the context lasts, and end what is left of it then.

        Args:
            notify_socket: NOTIFY_SOCKET for the service; abstract, as the root has other paths.
        """
        unit = read_unit((self.path / UNIT_PATH).read_text())
        for folder in ("run/gripproxy", "var/log/gripproxy"):
            self.run("install", "-d", "-o", "gripproxy", "-g", "gripproxy", f"/{folder}")
        sandbox = log_path.with_suffix(".sandbox")
        sandbox.mkdir()
        shutil.copy(SANDBOX_PATH, sandbox)
        # Debian's own Python has the bindings of libseccomp.
        subprocess.run(["/usr/bin/python3", FILTERS_PROGRAM, json.dumps(unit), sandbox], check=True)
        environment = ENVIRONMENT | {"SANDBOX": str(sandbox)}
        environment |= {"NOTIFY_SOCKET": notify_socket} if notify_socket else {}
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                self._entering(_ENTER_READ_ONLY, unit_command(unit)),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            self._end_service(process)

    def _end_service(self, process: subprocess.Popen[bytes]) -> None:
        """End every process that has this root."""
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()

    def pids(self) -> list[int]:
        """List the processes that run in this root."""
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if os.path.samefile(f"/proc/{name}/root", self.path):
                    found.append(int(name))
        return found


def _do(*command: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{result.stdout[-2000:]}{result.stderr[-2000:]}")


def read_unit(text: str) -> dict[str, list[str]]:
    """Read the values of [Service], all of each name."""
    values: dict[str, list[str]] = {}
    section = ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif section == "Service" and "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            values.setdefault(name, []).append(value)
    return values


def unit_command(unit: dict[str, list[str]]) -> list[str]:
    """Give the command that runs a unit's program in the root, in its sandbox."""
    capabilities = ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in unit["AmbientCapabilities"][0].split())
    command = ["setpriv", f"--reuid={unit['User'][0]}", f"--regid={unit['Group'][0]}", "--init-groups"]
    command += ["--no-new-privs", f"--inh-caps=-all,{capabilities}", f"--ambient-caps=-all,{capabilities}"]
    command += [f"--bounding-set=-all,{capabilities}", "/usr/bin/python3", "/tmp/sandbox/service_sandbox.py"]
    return [*command, unit["UMask"][0], *unit["ExecStart"][0].split()]


if __name__ == "__main__":  # a look inside: python -m deploy.package.debian_root DIR COMMAND...
    print(DebianRoot(Path(sys.argv[1])).run(*sys.argv[2:], is_checked=False).stdout, end="")
