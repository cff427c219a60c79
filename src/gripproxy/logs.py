"""Where log lines go and how one looks: ``[LEVEL] YYYY-MM-DD HH:MM:SS.mmm [process] text``, local time.

Set up once by the command line before it forks; a forked process only names itself. Every module logs through
``logging.getLogger(__name__)``.
"""

import contextlib
import logging
import logging.handlers
import time

LEVELS = (logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)  # by Pushpin's log_level 0-3
_LABELS = {logging.ERROR: "ERR", logging.WARNING: "WARN", logging.INFO: "INFO", logging.DEBUG: "DEBUG"}

# A request's own bytes can stand in a line; none of them may start another line or move a terminal's cursor.
_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)}


class LineFormatter(logging.Formatter):
    """Makes one line of a record; a traceback follows on lines of its own."""

    process_name = "supervisor"

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if not text.isprintable():
            text = text.translate(_ESCAPED)
        label = _LABELS.get(record.levelno, record.levelname)
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        line = f"[{label}] {moment}.{int(record.msecs):03d} [{self.process_name}] {text}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class LogFileHandler(logging.handlers.WatchedFileHandler):
    """Appends to a file and opens it anew when it was renamed or removed, in every process by itself.

    A full disk, or a directory that this user may not write to any more, must not stop a process that serves.
    """

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):
            super().emit(record)

    def reopen(self) -> None:
        """Open the file anew now, if it was renamed or removed."""
        with contextlib.suppress(OSError):
            self.reopenIfNeeded()


_formatter = LineFormatter()


def set_up(level: int, logfile: str | None = None) -> None:
    """Send log lines up to `level` (0 error, 1 warning, 2 info, 3 and more debug) to `logfile` or standard error.

    Raises:
        OSError: `logfile` cannot be opened.
    """
    handler = logging.StreamHandler() if logfile is None else LogFileHandler(logfile, encoding="utf-8")
    handler.setFormatter(_formatter)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(LEVELS[min(level, len(LEVELS) - 1)])
    logging.raiseExceptions = False  # a line that cannot be written has nowhere to be reported


def set_process_name(name: str) -> None:
    """Name this process in its lines: "supervisor", "hub", "worker 0"."""
    _formatter.process_name = name


def reopen() -> None:
    """Open the log file anew if it was renamed or removed; nothing to do for standard error."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LogFileHandler):
            handler.reopen()
