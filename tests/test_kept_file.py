"""What is kept in the run directory."""

from pathlib import Path

import pytest

from gripproxy.kept_file import read_kept_file, write_kept_file


def test_text_is_replaced_whole_and_is_nobody_elses(tmp_path: Path) -> None:
    """It may hold keys, and another process may be reading it."""
    path = str(tmp_path / "kept")
    write_kept_file(path, "é" * 10)
    assert read_kept_file(path, 100) == "é" * 10
    with open(path, encoding="utf-8") as reading:
        write_kept_file(path, "new")
        assert reading.read() == "é" * 10
    assert read_kept_file(path, 100) == "new"
    assert [file.name for file in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o600


def test_forgotten_is_as_if_it_never_was(tmp_path: Path) -> None:
    path = str(tmp_path / "kept")
    write_kept_file(path, None)
    write_kept_file(path, "x")
    write_kept_file(path, None)
    assert read_kept_file(path, 100) is None


def test_failure_leaves_no_draft(tmp_path: Path) -> None:
    """A disk that is full would not get any emptier."""
    (tmp_path / "kept").mkdir()
    with pytest.raises(OSError):
        write_kept_file(str(tmp_path / "kept"), "x")
    assert [file.name for file in tmp_path.iterdir()] == ["kept"]


def test_what_is_no_text_is_nothing(tmp_path: Path) -> None:
    """A directory, or bytes that are no UTF-8."""
    (tmp_path / "kept").write_bytes(b"\xff")
    assert read_kept_file(str(tmp_path / "kept"), 100) is None
    assert read_kept_file(str(tmp_path), 100) is None
    with pytest.raises(OSError):
        write_kept_file(str(tmp_path / "missing" / "kept"), "x")
