"""The wheels are those that are pinned, and only what runs of them is laid out."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from deploy.package.wheels import PINS_PATH, WheelError, find_wheels, read_pins, unpack

REQUIRED = ("httptools", "msgpack", "orjson", "pyjwt", "cryptography", "pyzmq", "setproctitle", "uvloop")


def make_wheel(path: Path, names: list[str]) -> str:
    """Write a wheel with these files and give its hash."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, name)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_all_that_the_program_imports_is_pinned() -> None:
    """Nothing else is fetched: the build of next year has the same bytes."""
    names = {pin.partition("==")[0] for pin in read_pins(PINS_PATH.read_text())}
    assert names >= set(REQUIRED)


def test_line_without_a_hash_is_no_pin() -> None:
    """A version alone says nothing about who made the file."""
    with pytest.raises(WheelError, match="not a pin by hash: 'uvloop==1.0'"):
        read_pins("# a comment\n\nuvloop==1.0\n")


def test_wheel_is_found_by_its_hash_whatever_its_name(tmp_path: Path) -> None:
    """A file of the right name with other bytes is not taken."""
    digest = make_wheel(tmp_path / "a-1.0-py3-none-any.whl", ["a.py"])
    make_wheel(tmp_path / "b-2.0-py3-none-any.whl", ["b.py"])
    assert find_wheels(tmp_path, {"a==1.0": digest}) == [tmp_path / "a-1.0-py3-none-any.whl"]
    with pytest.raises(WheelError, match="b==2.0"):
        find_wheels(tmp_path, {"a==1.0": digest, "b==2.0": "0" * 64})


def test_only_what_runs_is_unpacked(tmp_path: Path) -> None:
    """Tests and sources of C are half of what wheels weigh."""
    wheel = tmp_path / "a-1.0-py3-none-any.whl"
    make_wheel(wheel, ["a/__init__.py", "a/_c.so", "a/tests/test_a.py", "a/_c.pyx", "a-1.0.dist-info/LICENSE"])
    unpack(wheel, tmp_path / "out")
    found = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert found == ["a-1.0.dist-info/LICENSE", "a/__init__.py", "a/_c.so"]


def test_wheel_with_files_for_other_places_is_refused(tmp_path: Path) -> None:
    """They would be missing at run time, and nobody would know."""
    wheel = tmp_path / "a-1.0-py3-none-any.whl"
    make_wheel(wheel, ["a-1.0.data/scripts/run"])
    with pytest.raises(WheelError, match="files for other places"):
        unpack(wheel, tmp_path / "out")
