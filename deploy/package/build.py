"""Building the package: a source tree as Debian's tools want it, in which they run."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from deploy.package.prefix import PREFIX, lay_out, program_version
from deploy.package.wheels import ROOT, fetch

WHEELS_FOLDER = ROOT / "build" / "wheels"
DEBIAN_FOLDER = ROOT / "deploy" / "debian"
# What debian/rules and debian/gripproxy.* take from the source tree.
SHARED = ("README.md", "CHANGELOG.md", "deploy/gripproxy.conf", "deploy/routes", "deploy/reference")

NEWER_ENTRY = """\
gripproxy ({version}) bookworm; urgency=medium

  * Version {version}.

 -- {maintainer_and_date}

"""


def build(out_folder: Path, version: str | None = None, wheels_folder: Path = WHEELS_FOLDER) -> Path:
    """Build the package into `out_folder` and give its path. The same sources make the same bytes.

    Args:
        version: another version than the program's own, which the built program will tell as well.
    """
    version = version or program_version()
    wheels = fetch(wheels_folder)
    with tempfile.TemporaryDirectory(prefix="gripproxy-deb-") as name:
        tree = Path(name) / f"gripproxy-{version}"
        _lay_source(tree, version)
        lay_out(tree / "prefix", wheels, version)
        _run_debian_tools(tree)
        out_folder.mkdir(parents=True, exist_ok=True)
        (built,) = Path(name).glob("*.deb")
        return Path(shutil.copy(built, out_folder / built.name))


def _lay_source(tree: Path, version: str) -> None:
    shutil.copytree(DEBIAN_FOLDER, tree / "debian")
    for name in SHARED:
        source, target = ROOT / name, tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, target)
    changelog_path = tree / "debian" / "changelog"
    changelog = changelog_path.read_text()
    if not changelog.startswith(f"gripproxy ({version})"):
        trailer = next(line for line in changelog.splitlines() if line.startswith(" -- "))
        entry = NEWER_ENTRY.format(version=version, maintainer_and_date=trailer.removeprefix(" -- "))
        changelog_path.write_text(entry + changelog)


def _run_debian_tools(tree: Path) -> None:
    # Debian's own Python, with which the package will run, also writes the manual pages; nothing of ours around it.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "DEB_"))}
    environment |= {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "PREFIX": f"/{PREFIX}"}
    # Nothing is compiled: the compiler that every build depends on may be missing.
    command = ["dpkg-buildpackage", "--build=binary", "--no-sign", "--no-check-builddeps"]
    result = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{result.stdout[-4000:]}\n{result.stderr[-4000:]}")
