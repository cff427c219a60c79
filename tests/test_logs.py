"""Log lines as they look, and a log file that is renamed under a running process."""

import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from gripproxy import logs
from gripproxy.log_levels import LogLevels
from gripproxy.log_sink import KEPT_MAX_BYTES


@pytest.fixture(autouse=True)
def untouched_logging() -> Iterator[None]:
    """Give pytest its own handlers back."""
    root = logging.getLogger()
    handlers, level, raises = root.handlers[:], root.level, logging.raiseExceptions
    own_handler, own_levels = logs._handler, logs._levels
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.raiseExceptions = raises
    logs._handler, logs._levels = own_handler, own_levels


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


def test_bytes_that_are_no_text_do_not_lose_the_line(tmp_path: Path) -> None:
    """Names of files and channels may hold such, as halves of surrogate pairs."""
    for is_json in (False, True):
        path = tmp_path / f"log-{is_json}"
        logs.set_up(LogLevels(), str(path), is_json)
        logging.getLogger("gripproxy.test").info("a\udcffb")
        assert "\\udcffb" in path.read_text()
        assert path.read_text().count("\n") == 1


def test_json_lines(tmp_path: Path) -> None:
    """One object for a program to read, whatever the text holds."""
    path = tmp_path / "log"
    logs.set_up(LogLevels(), str(path), is_json=True)
    logs.set_process_name("hub")
    logging.getLogger("gripproxy.test").warning('say "%s"\n\x9b\u2028', "é")
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("gripproxy.test").exception("failed")
    warning, error = map(orjson.loads, path.read_text().splitlines())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", warning.pop("time"))
    assert warning == {"level": "warning", "process": "hub", "event": "log", "text": 'say "é"\n\x9b\u2028'}
    assert "\\n\\u009b\\u2028" in path.read_text()
    assert (error["level"], error["text"], error["traceback"].splitlines()[-1]) == (
        "error",
        "failed",
        "ValueError: why",
    )


def test_level_and_form_change_in_place(tmp_path: Path) -> None:
    """A process goes on with its name and its file."""
    path = tmp_path / "log"
    logs.set_up(LogLevels(), str(path))
    logs.begin_child("hub")
    test_log = logging.getLogger("gripproxy.test")
    test_log.info("one")
    logs.use(LogLevels(hub=1), is_json=True)
    test_log.info("two")
    test_log.warning("three")
    logs.use(LogLevels(), is_json=False)
    test_log.info("four")
    one, three, four = path.read_text().splitlines()
    assert one.endswith("[hub] one") and four.endswith("[hub] four")
    assert orjson.loads(three)["text"] == "three"


def test_each_process_has_its_level(tmp_path: Path) -> None:
    """Each takes its own when it is named after the fork."""
    path = tmp_path / "log"
    logs.set_up(LogLevels(supervisor=0, hub=3), str(path))
    for name in ("supervisor", "hub", "worker 1"):
        logs.begin_child(name)
        logging.getLogger("gripproxy.test").info("text")
        logging.getLogger("gripproxy.test").debug("text")
    assert re.findall(r"^\[(\w+)\] .* \[([a-z0-9 ]+)\]", path.read_text(), re.MULTILINE) == [
        ("INFO", "hub"),
        ("DEBUG", "hub"),
        ("INFO", "worker 1"),
    ]


@pytest.mark.parametrize("is_json", [False, True])
def test_no_line_shows_a_secret(tmp_path: Path, is_json: bool) -> None:
    """Warnings name URLs, too, and so do exceptions."""
    path = tmp_path / "log"
    logs.set_up(LogLevels(), str(path), is_json)
    logger = logging.getLogger("gripproxy.test")
    logger.warning("next link %s (route %s): refused", "http://a/b?n=1&token=s3cr3t", "r")
    try:
        raise ValueError("http://u:s3cr3t@a/?key=s3cr3t")
    except ValueError:
        logger.exception("failed")
    assert "next link http://a/b?n=1&token=*** (route r): refused" in path.read_text()
    assert "http://***@a/?key=***" in path.read_text()
    assert "s3cr3t" not in path.read_text()


def test_text_that_does_not_fit_its_values_is_logged_alone(tmp_path: Path) -> None:
    """A slip in a log call must neither lose the line nor raise."""
    path = tmp_path / "log"
    logs.set_up(LogLevels(), str(path))
    logging.getLogger("gripproxy.test").info("%d of %s", 1)
    assert path.read_text().endswith("%d of %s\n")


def test_child_leaves_its_parents_lines_alone(tmp_path: Path) -> None:
    """What waits at a fork would be written by both."""
    path = tmp_path / "log"
    logs.set_up(LogLevels(), str(path))
    logs.output()[1].put(b"the parent's\n")
    logs.begin_child("hub")
    logging.getLogger("gripproxy.test").info("text")
    assert path.read_text().count("\n") == 1


def test_journal_is_told_how_bad_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its filters go by priority; every row of a traceback has one. Elsewhere nobody would take it off again."""
    status = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    assert logs.is_journal(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino + 1}")
    assert not logs.is_journal(2)
    monkeypatch.delenv("JOURNAL_STREAM")
    assert not logs.is_journal(2)
    formatter = logs.LineFormatter(has_priorities=True)
    record = logging.LogRecord("n", logging.CRITICAL, "p", 1, "text", None, (ValueError, ValueError("why"), None))
    rows = formatter.format_record(record).splitlines()
    assert rows[0].startswith(b"<3>[ERR] ") and rows[-1] == b"<3>ValueError: why"
    assert logs.LineFormatter(True, True).format_record(record).startswith(b'<3>{"time":')


def test_lost_lines_are_said(tmp_path: Path) -> None:
    """A log with a hole in it looks like a quiet day."""
    path = tmp_path / "log"
    logs.set_up(LogLevels(), str(path))
    sink = logs.output()[1]
    sink.put(b"x" * (KEPT_MAX_BYTES + 1))
    sink.flush()
    assert path.read_text().endswith("1 log lines could not be written and are lost\n")


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
