"""How log lines look, and where they go: ``[LEVEL] YYYY-MM-DD HH:MM:SS.mmm [process] text``, local time, or JSON.

Set up once by the command line before it forks; a forked process only names itself. Every module logs through
``logging.getLogger(__name__)``; lines about requests, holds and items come from event_log.py.
"""

import logging
import os
import time
from collections.abc import Mapping

import orjson

from gripproxy.log_levels import LogLevels
from gripproxy.log_sink import LogSink
from gripproxy.shown_url import hide_secrets

LEVELS = (logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)  # by Pushpin's log_level 0-3
_LABELS = {logging.ERROR: "ERR", logging.WARNING: "WARN", logging.INFO: "INFO", logging.DEBUG: "DEBUG"}
_NAMES = {logging.ERROR: "error", logging.WARNING: "warning", logging.INFO: "info", logging.DEBUG: "debug"}  # in JSON
_PRIORITIES = {logging.ERROR: b"<3>", logging.WARNING: b"<4>", logging.INFO: b"<6>", logging.DEBUG: b"<7>"}  # syslog's

# A request's own bytes can stand in a line; none of them may start another line or move a terminal's cursor.
_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)}
_ESCAPED_IN_JSON = {code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), 0x2028, 0x2029)}  # the others are already

log = logging.getLogger(__name__)


def printable(text: str) -> str:
    """Give `text` so that it stays on its line."""
    return text if text.isprintable() else text.translate(_ESCAPED)


def printable_json(data: bytes) -> bytes:
    """Give JSON that says the same and has no character that a terminal obeys."""
    return data if data.isascii() and b"\x7f" not in data else data.decode().translate(_ESCAPED_IN_JSON).encode()


class LineFormatter:
    """Makes lines of what is to be logged, for one process.

    Args:
        is_json: one object a line instead of text.
        has_priorities: begin each line with its level as the journal reads it.
    """

    def __init__(self, is_json: bool = False, has_priorities: bool = False) -> None:
        self.is_json = is_json
        self.process_name = "supervisor"
        self._has_priorities = has_priorities
        self._second = -1
        self._moment = ""  # of that second

    def use_json(self, is_json: bool) -> None:
        """Write JSON from now on, or text."""
        self.is_json = is_json
        self._second = -1  # moments look different there

    def line(self, level: int, at: float, text: str) -> bytes:
        """Make a text line. `level` is one of `LEVELS`, `at` seconds since 1970; `text` is printable."""
        return b"%s%s\n" % (self._priority(level), self._text(level, at, text))

    def json_line(self, level: int, at: float, values: Mapping[str, object]) -> bytes:
        """Make a JSON line. `values`, of which there are some, follow time, level and process."""
        try:
            data = orjson.dumps(values)
        except TypeError:  # half a pair of surrogates: bytes of a request that are no text
            data = orjson.dumps({name: _mended(value) for name, value in values.items()})
        data = printable_json(data)
        head = f'{{"time":"{self._moment_of(at)}Z","level":"{_NAMES[level]}","process":"{self.process_name}",'
        return b"%s%s%s\n" % (self._priority(level), head.encode(), data[1:])

    def format_record(self, record: logging.LogRecord) -> bytes:
        """Make the line of one of `logging`'s records; in text, a traceback follows on lines of its own."""
        level, at, message = _level_of(record), record.created, _shown(record.getMessage())
        traceback = _shown(logging.Formatter().formatException(record.exc_info)) if record.exc_info else ""
        if self.is_json:
            values = {"event": "log", "text": message}
            return self.json_line(level, at, {**values, "traceback": traceback} if traceback else values)
        line = self.line(level, at, printable(message))
        priority = self._priority(level)
        return line + b"".join(b"%s%s\n" % (priority, _encode(printable(row))) for row in traceback.splitlines())

    def _text(self, level: int, at: float, text: str) -> bytes:
        return _encode(f"[{_LABELS[level]}] {self._moment_of(at)} [{self.process_name}] {text}")

    def _moment_of(self, at: float) -> str:
        second = int(at)
        if second != self._second:  # the same for most lines
            if self.is_json:
                self._moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            else:
                self._moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
            self._second = second
        return f"{self._moment}.{int((at - second) * 1000):03d}"

    def _priority(self, level: int) -> bytes:
        return _PRIORITIES[level] if self._has_priorities else b""


class SinkHandler(logging.Handler):
    """Passes `logging`'s records on to the process's sink, at once. What cannot be written never raises."""

    def __init__(self, formatter: LineFormatter, sink: LogSink) -> None:
        super().__init__()
        self.line_formatter = formatter
        self.sink = sink
        sink.on_dropped = self._on_dropped

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.line_formatter.format_record(record)
        except Exception:  # a placeholder that does not fit: the text alone must do
            line = self.line_formatter.line(_level_of(record), record.created, printable(str(record.msg)))
        self.sink.put(line)
        self.sink.flush()

    def flush(self) -> None:
        """Hear that the process ends."""
        self.sink.drain()

    def _on_dropped(self, count: int) -> None:
        log.warning("%d log lines could not be written and are lost", count)


_levels = LogLevels()
_handler = SinkHandler(LineFormatter(), LogSink())


def set_up(levels: LogLevels, logfile: str | None = None, is_json: bool = False) -> None:
    """Send log lines to `logfile` or standard error.

    Raises:
        OSError: `logfile` cannot be opened.
    """
    global _levels, _handler
    sink = LogSink(path=logfile)
    _levels = levels
    _handler = SinkHandler(LineFormatter(is_json, logfile is None and is_journal(2)), sink)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(_handler)
    logging.raiseExceptions = False  # a line that cannot be written has nowhere to be reported
    set_process_name(_handler.line_formatter.process_name)


def use(levels: LogLevels, is_json: bool) -> None:
    """Log as much as `levels` say from now on, and in this form."""
    global _levels
    _levels = levels
    _handler.line_formatter.use_json(is_json)
    set_process_name(_handler.line_formatter.process_name)


def set_process_name(name: str) -> None:
    """Name this process in its lines: "supervisor", "hub", "worker 0". Its log level is that of its name."""
    _handler.line_formatter.process_name = name
    logging.getLogger().setLevel(LEVELS[min(_levels.of(name), len(LEVELS) - 1)])


def begin_child(name: str) -> None:
    """Name a process that was just forked; what its parent has still to write is not its own."""
    _handler.sink.forget()
    set_process_name(name)


def output() -> tuple[LineFormatter, LogSink]:
    """Give what makes this process's lines, and what takes them."""
    return _handler.line_formatter, _handler.sink


def reopen() -> None:
    """Open the log file anew if it was renamed or removed; nothing to do for standard error."""
    _handler.sink.reopen()


def is_journal(fd: int) -> bool:
    """Tell whether `fd` leads to systemd's journal, as the variable says that it sets for its services."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        status = os.fstat(fd)
    except OSError:
        return False
    return (device, inode) == (str(status.st_dev), str(status.st_ino))


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _shown(text: str) -> str:
    """Give a text without the secrets of URLs in it."""
    return "\n".join(map(hide_secrets, text.split("\n"))) if any(mark in text for mark in "?@;") else text


def _mended(value: object) -> object:
    if isinstance(value, list):
        return [_mended(each) for each in value]
    return _encode(value).decode() if isinstance(value, str) else value


def _level_of(record: logging.LogRecord) -> int:
    """Give the next of `LEVELS` below a record's, which may be of a library's own."""
    return next((level for level in LEVELS if record.levelno >= level), logging.DEBUG)
