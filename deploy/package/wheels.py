"""The wheels that the package brings along: pinned by hash, fetched once, unpacked without any installer."""

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PINS_PATH = ROOT / "deploy" / "debian" / "requirements.txt"
PYTHON_VERSION = "3.11"  # Debian 12's

# Debian 12 has glibc 2.36, and what was built for an older one runs there.
GLIBC_MINORS = (5, 12, 17, 24, 26, 27, 28, 31, 34, 35, 36)
PLATFORMS = ("manylinux1_x86_64", "manylinux2010_x86_64", "manylinux2014_x86_64") + tuple(
    f"manylinux_2_{minor}_x86_64" for minor in GLIBC_MINORS
)

# Not needed to run: tests, sources, and what only compilers and editors read.
UNNEEDED = re.compile(r"(^|/)(tests?|testing|__pyinstaller)/|\.(pyx|pxd|pxi|c|h|hpp|cpp|pyi)$|\.dist-info/RECORD$")

HEADER = """\
# The wheels in the package, for Python 3.11 on amd64. Written by: python -m deploy.package pin
"""
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+) --hash=sha256:([0-9a-f]{64})$")


class WheelError(Exception):
    """A wheel is missing, or is not the one that is pinned."""


def read_pins(text: str) -> dict[str, str]:
    """Give the sha256 of each pinned wheel by ``name==version``.

    Raises:
        WheelError: a line is no pin.
    """
    pins = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            match = _PIN.match(line)
            if match is None:
                raise WheelError(f"not a pin by hash: {line!r}")
            pins[f"{match[1]}=={match[2]}"] = match[3]
    return pins


def find_wheels(folder: Path, pins: dict[str, str]) -> list[Path]:
    """Find the pinned wheels in `folder`, by their hashes.

    Raises:
        WheelError: one of them is not there.
    """
    by_hash = {_sha256(path): path for path in sorted(folder.glob("*.whl"))}
    missing = [name for name, digest in pins.items() if digest not in by_hash]
    if missing:
        raise WheelError(f"not in {folder}: {', '.join(missing)}; fetch them with: python -m deploy.package wheels")
    return [by_hash[digest] for digest in pins.values()]


def fetch(folder: Path) -> list[Path]:
    """Fetch the pinned wheels that are not in `folder` yet; without any missing one this needs no network."""
    pins = read_pins(PINS_PATH.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return find_wheels(folder, pins)
    except WheelError:
        _pip_download(folder, "--require-hashes", "--no-deps", "--requirement", str(PINS_PATH))
    return find_wheels(folder, pins)


def pin() -> None:
    """Write the newest versions that the program allows into the file of pins."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _pip_download(folder, *_requirements())
        lines = []
        for path in sorted(folder.glob("*.whl")):
            project, version = path.name.split("-")[:2]
            lines.append(f"{project.replace('_', '-').lower()}=={version} --hash=sha256:{_sha256(path)}\n")
    PINS_PATH.write_text(HEADER + "".join(lines))


def unpack(wheel: Path, site_packages: Path) -> None:
    """Lay a wheel's files under `site_packages`, but for what nobody needs who only runs it.

    Raises:
        WheelError: it has files for other places.
    """
    with zipfile.ZipFile(wheel) as archive:
        for name in _needed(archive.namelist()):
            if ".data/" in name:
                raise WheelError(f"{wheel.name} has files for other places: {name}")
            path = site_packages / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(name) as source, path.open("wb") as target:
                shutil.copyfileobj(source, target)
            path.chmod(0o644)


def _needed(names: list[str]) -> Iterator[str]:
    return (name for name in names if not name.endswith("/") and not UNNEEDED.search(name))


def _requirements() -> list[str]:
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser["options"]["install_requires"].split()


def _pip_download(folder: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--dest", str(folder), "--only-binary=:all:", "--python-version", PYTHON_VERSION]
    command += ["--implementation", "cp", *(f"--platform={platform}" for platform in PLATFORMS)]
    subprocess.run([*command, *arguments], check=True)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
