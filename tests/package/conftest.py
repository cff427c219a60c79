"""The package, a newer version of it, and a clean Debian to install them in; each made once."""

import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.package.build import build
from deploy.package.debian_root import DebianRoot
from deploy.package.prefix import SITE_PACKAGES
from tests.installed import require

NEWER_VERSION = "99.0"


class RootMaking:
    """The clean Debian, made beside whatever else is going on."""

    def __init__(self, root: DebianRoot) -> None:
        self.root = root
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.root.make()
        except BaseException as error:  # shown by whoever waits
            self._failure = error

    def wait(self) -> DebianRoot:
        self._thread.join()
        assert self._failure is None, str(self._failure)
        return self.root


@pytest.fixture(scope="session")
def root_making() -> Iterator[RootMaking]:
    """Begin to make the clean Debian."""
    require("debootstrap")
    folder = Path(tempfile.mkdtemp(prefix="gripproxy-root-"))
    folder.chmod(0o755)
    making = RootMaking(DebianRoot(folder / "root"))
    yield making
    making.wait()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def debian(root_making: RootMaking) -> DebianRoot:
    """Give the clean Debian; who installs something in it purges it again."""
    return root_making.wait()


@pytest.fixture(scope="session")
def package(root_making: RootMaking, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the package as `make deb` builds it."""
    require("dpkg-buildpackage", "dh", "systemd-analyze")
    return build(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="session")
def newer_package(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a version of it that says that it is newer."""
    return repack(package, tmp_path_factory.mktemp("newer"), NEWER_VERSION)


def repack(package: Path, folder: Path, version: str, cli_text: str | None = None) -> Path:
    """Make another version of the package, with another program if `cli_text` is given."""
    tree = folder / "tree"
    subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
    _replace(tree / "DEBIAN" / "control", r"^Version: .*$", f"Version: {version}")
    program = tree / SITE_PACKAGES / "gripproxy"
    _replace(program / "__init__.py", r"^__version__ = .*$", f'__version__ = "{version}"')
    if cli_text is not None:
        (program / "cli.py").write_text(cli_text)
    path = folder / f"gripproxy_{version}_amd64.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, path], check=True, capture_output=True)
    shutil.rmtree(tree)
    return path


def _replace(path: Path, pattern: str, replacement: str) -> None:
    path.write_text(re.sub(pattern, replacement, path.read_text(), flags=re.MULTILINE))
