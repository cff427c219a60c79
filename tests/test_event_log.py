"""Events in the log: which get a line, and that a log that cannot be written is said."""

import logging
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from gripproxy import logs
from gripproxy.event_log import EventLog
from gripproxy.log_levels import LogLevels
from gripproxy.log_sink import KEPT_MAX_BYTES
from gripproxy.protocol.telemetry import HoldRecord, Outcome, PublishRecord, RequestRecord
from gripproxy.scoreboard import Field, Scoreboard
from gripproxy.settings import Settings

AT = 1_700_000_000.0624
REQUEST = RequestRecord(AT, "0-1-1", "10.0.0.1", "GET", "http://a/?token=5", "r", "b:1", 200, Outcome.ANSWERED, 5, 0.25)
HOLD = HoldRecord(AT, "0-1-1", "http://a/\n[ERR] x", "r", "stream", ["a", "b"])
PUBLISH = PublishRecord(AT, "a\x1b[2J", None, "pull", 1, 0, 0)
ALL = ("request", "hold", "publish")


@pytest.fixture(autouse=True)
def untouched_logging() -> Iterator[None]:
    """Give pytest its own handlers back."""
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.raiseExceptions, logs._handler, logs._levels
    yield
    root.handlers[:], level, logging.raiseExceptions, logs._handler, logs._levels = before
    root.setLevel(level)


@pytest.fixture
def row() -> memoryview:
    return Scoreboard(1).row(1)


def event_log(path: Path, row: memoryview, settings: Settings) -> EventLog:
    logs.set_up(settings.log_level, str(path), settings.log_format == "json")
    logs.begin_child("worker 1")
    return EventLog(settings, row)


def test_events_are_lines_like_all_others(tmp_path: Path, row: memoryview) -> None:
    """One file, one form; and nothing that a client sent starts a line of its own."""
    path = tmp_path / "log"
    log = event_log(path, row, Settings(log_events=ALL))
    for record in (REQUEST, HOLD, PUBLISH):
        log.note(record)
    assert path.read_text() == ""
    log.flush()
    lines = path.read_text().splitlines()
    assert all(line.startswith("[INFO] ") for line in lines)
    assert [line.partition(".062 ")[2] for line in lines] == [
        "[worker 1] GET http://a/?token=*** -> b:1 route=r code=200 5 id=0-1-1 time=0.2500",
        "[worker 1] subscribe http://a/\\x0a[ERR] x channel=a id=0-1-1",
        "[worker 1] subscribe http://a/\\x0a[ERR] x channel=b id=0-1-1",
        "[worker 1] publish channel=a\\x1b[2J receivers=1 source=pull",
    ]


def test_events_as_json(tmp_path: Path, row: memoryview) -> None:
    """A program reads times in one zone and fields by their names."""
    path = tmp_path / "log"
    log = event_log(path, row, Settings(log_events=ALL, log_format="json"))
    for record in (REQUEST, HOLD, PUBLISH):
        log.note(record)
    log.flush()
    request, hold, publish = map(orjson.loads, path.read_text().splitlines())
    head = {"time": "2023-11-14T22:13:20.062Z", "level": "info", "process": "worker 1"}
    assert head.items() <= request.items()
    assert (request["event"], request["url"], request["duration_s"]) == ("request", "http://a/?token=***", 0.25)
    assert (hold["event"], hold["channels"]) == ("hold", ["a", "b"])
    assert (publish["event"], publish["channel"]) == ("publish", "a\x1b[2J")


def test_surrogates_are_written_in_json_too(tmp_path: Path, row: memoryview) -> None:
    """orjson refuses them."""
    path = tmp_path / "log"
    log = event_log(path, row, Settings(log_format="json"))
    log.note(HoldRecord(AT, "0-1-1", "http://a/\udcff", "r", "stream", ["\udc80"]))
    log.flush()
    hold = orjson.loads(path.read_text())
    assert (hold["url"], hold["channels"]) == ("http://a/\\udcff", ["\\udc80"])


@pytest.mark.parametrize(
    ("events", "levels", "wanted"),
    [
        (("request", "hold"), LogLevels(), [True, True, False]),
        (ALL, LogLevels(), [True, True, True]),
        (ALL, LogLevels.all(1), [False, False, False]),
        (ALL, LogLevels(hub=1), [True, False, False]),
        (ALL, LogLevels(worker=0), [False, True, True]),
        ((), LogLevels.all(3), [False, False, False]),
    ],
)
def test_what_gets_a_line(
    tmp_path: Path, row: memoryview, events: tuple[str, ...], levels: LogLevels, wanted: list[bool]
) -> None:
    """Nobody needs to make a record that gets none. A level for Pushpin's handler is for its lines."""
    path = tmp_path / "log"
    log = event_log(path, row, Settings(log_events=events, log_level=levels))
    assert [log.wants(record.kind) for record in (REQUEST, HOLD, PUBLISH)] == wanted
    for record, is_wanted in zip((REQUEST, HOLD, PUBLISH), wanted, strict=True):
        before = path.stat().st_size
        log.note(record)
        log.flush()
        assert (path.stat().st_size > before) is is_wanted


def test_lines_that_cannot_be_written_are_counted(row: memoryview) -> None:
    """The figure is on the metrics page, where a full disk does not hide it."""
    log = event_log(Path("/dev/full"), row, Settings())
    count = 2 * KEPT_MAX_BYTES // 80
    for _ in range(count):
        log.note(REQUEST)
    log.flush()
    dropped_count = row[Field.LOG_DROPPED]
    assert 0 < dropped_count < count
    log.note(REQUEST)
    log.flush()
    assert row[Field.LOG_DROPPED] == dropped_count + 1
