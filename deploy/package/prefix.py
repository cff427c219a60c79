"""The files under /usr/lib/gripproxy: a virtual environment on Debian's own Python, with the program and its wheels."""

import re
import shutil
from pathlib import Path

from deploy.package.wheels import PYTHON_VERSION, ROOT, unpack

PREFIX = Path("usr/lib/gripproxy")
SITE_PACKAGES = PREFIX / "lib" / f"python{PYTHON_VERSION}" / "site-packages"
SOURCES = {"gripproxy": ROOT / "src" / "gripproxy", "gripproxy_worker": ROOT / "workers" / "gripproxy_worker"}
SUFFIXES = (".py", ".html", ".typed")
PROGRAMS = {"gripproxy": "gripproxy.cli", "gripproxy-publish": "gripproxy.publish_command"}

PYVENV_CFG = """\
home = /usr/bin
include-system-site-packages = false
"""
# -I: neither the environment nor the working directory chooses which modules run.
LAUNCHER = """\
#!/usr/lib/gripproxy/bin/python3 -I
import sys

from {module} import main

sys.exit(main())
"""
_VERSION = re.compile(r'^__version__ = ".*"$', re.MULTILINE)


def program_version() -> str:
    """Give the version that the program itself tells."""
    match = re.search(r'^__version__ = "(.+)"$', (SOURCES["gripproxy"] / "__init__.py").read_text(), re.MULTILINE)
    assert match is not None
    return match[1]


def lay_out(root: Path, wheels: list[Path], version: str) -> None:
    """Lay the program as of `version` with its wheels under `root`, and its commands in /usr/bin."""
    site_packages = root / SITE_PACKAGES
    for wheel in wheels:
        unpack(wheel, site_packages)
    for name, source in SOURCES.items():
        _copy_code(source, site_packages / name)
    init_path = site_packages / "gripproxy" / "__init__.py"
    init_path.write_text(_VERSION.sub(f'__version__ = "{version}"', init_path.read_text()))
    _write(root / PREFIX / "pyvenv.cfg", PYVENV_CFG)
    python_path = root / PREFIX / "bin" / "python3"
    python_path.parent.mkdir()
    python_path.symlink_to("/usr/bin/python3")
    for name, module in PROGRAMS.items():
        _write(root / "usr/bin" / name, LAUNCHER.format(module=module), 0o755)


def _copy_code(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        if path.is_file() and path.suffix in SUFFIXES and "__pycache__" not in path.parts:
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            copy.chmod(0o644)


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
