"""Log lines as they look, and a log file that is renamed under a running process."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gripproxy import logs
from gripproxy.log_levels import LogLevels


@pytest.fixture(autouse=True)
def untouched_logging() -> Iterator[None]:
    """Give pytest its own handlers back."""
    root = logging.getLogger()
    handlers, level, raises = root.handlers[:], root.level, logging.raiseExceptions
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.raiseExceptions = raises
    logs.set_process_name("supervisor")


@pytest.mark.parametrize(
    ("level", "labels"),
    [(0, ["ERR"]), (1, ["ERR", "WARN"]), (2, ["ERR", "WARN", "INFO"]), (9, ["ERR", "WARN", "INFO", "DEBUG"])],
)
def test_level_says_what_is_written(tmp_path: Path, level: int, labels: list[str]) -> None:
    """The numbers and the labels are Pushpin's, so that log filters keep working."""
    path = tmp_path / "log"
    logs.set_up(LogLevels.all(level), str(path))
    logger = logging.getLogger("gripproxy.test")
    for number in (logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG):
        logger.log(number, "text")
    assert re.findall(r"^\[(\w+)\]", path.read_text(), re.MULTILINE) == labels


def test_line_names_time_and_process(tmp_path: Path) -> None:
    """All processes write to one file; only the name tells them apart."""
    path = tmp_path / "log"
    logs.set_up(LogLevels.all(2), str(path))
    logs.set_process_name("worker 3")
    logging.getLogger("gripproxy.test").info("started %s", "well")
    line = r"\[INFO\] \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \[worker 3\] started well\n"
    assert re.fullmatch(line, path.read_text())


def test_control_characters_cannot_forge_a_line(tmp_path: Path) -> None:
    """A request's path is logged, and a client chooses it."""
    path = tmp_path / "log"
    logs.set_up(LogLevels.all(2), str(path))
    logging.getLogger("gripproxy.test").info("GET /a\n[ERR] forged \x1b[2J é")
    assert path.read_text().endswith("GET /a\\x0a[ERR] forged \\x1b[2J é\n")
    assert path.read_text().count("\n") == 1


def test_traceback_follows_its_line(tmp_path: Path) -> None:
    """A crash report without its traceback helps nobody."""
    path = tmp_path / "log"
    logs.set_up(LogLevels.all(0), str(path))
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("gripproxy.test").exception("failed")
    assert path.read_text().splitlines()[-1] == "ValueError: why"


def test_renamed_file_is_opened_anew(tmp_path: Path) -> None:
    """logrotate renames the file; the next line must not go to the old one."""
    path = tmp_path / "log"
    logs.set_up(LogLevels.all(2), str(path))
    logging.getLogger("gripproxy.test").info("one")
    path.rename(tmp_path / "log.1")
    logs.reopen()
    assert path.exists()
    logging.getLogger("gripproxy.test").info("two")
    assert path.read_text().endswith("two\n")
    assert (tmp_path / "log.1").read_text().endswith("one\n")


def test_file_that_cannot_be_opened_again_does_not_raise(tmp_path: Path) -> None:
    """A log line is never worth a client's connection."""
    folder = tmp_path / "folder"
    folder.mkdir()
    logs.set_up(LogLevels.all(2), str(folder / "log"))
    (folder / "log").unlink()
    folder.rmdir()
    logging.getLogger("gripproxy.test").info("lost")
    logs.reopen()
    assert not folder.exists()
