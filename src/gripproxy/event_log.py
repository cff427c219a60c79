"""A log line for each request, hold and item that went out, as `log_events` asks.

How they look is protocol/event_line.py's. They wait in the process's sink until `flush`, which whoever notes calls with
every turn of his timer.
"""

import logging

from gripproxy import logs
from gripproxy.protocol.event_line import Event, EventLines
from gripproxy.protocol.telemetry import HoldRecord, PublishRecord, RequestRecord
from gripproxy.scoreboard import Field
from gripproxy.settings import Settings

INFO_LEVEL = 2  # as in `log_level`


class EventLog:
    """Writes this process's events where its other log lines go.

    Args:
        row: of the scoreboard, for lines that could not be written.
    """

    def __init__(self, settings: Settings, row: memoryview) -> None:
        self._row = row
        self._formatter, self._sink = logs.output()
        self._lost_count = self._sink.dropped_count
        self.use_settings(settings)

    def use_settings(self, settings: Settings) -> None:
        """Write what these settings ask for from now on."""
        self._lines = EventLines(has_address=settings.log_from, has_user_agent=settings.log_user_agent)
        levels = settings.log_level
        # The reference's proxy logs requests, its handler the others.
        kinds = {
            "request": (RequestRecord.kind, levels.worker),
            "hold": (HoldRecord.kind, levels.hub),
            "publish": (PublishRecord.kind, levels.hub),
        }
        wanted = [kinds[name] for name in settings.log_events]
        self._wanted = frozenset(kind for kind, level in wanted if level >= INFO_LEVEL)

    def wants(self, kind: int) -> bool:
        """Tell whether records of this `kind` are written; nobody needs to make others."""
        return kind in self._wanted

    def note(self, record: Event) -> None:
        """Write a record, if its kind is wanted."""
        if record.kind not in self._wanted:
            return
        formatter, sink = self._formatter, self._sink
        if formatter.is_json:
            sink.put(formatter.json_line(logging.INFO, record.at, self._lines.values(record)))
        else:
            for text in self._lines.texts(record):
                sink.put(formatter.line(logging.INFO, record.at, logs.printable(text)))

    def flush(self) -> None:
        """Write out what was noted, as far as that is possible without waiting. To be called with every tick."""
        self._sink.flush()
        if self._sink.dropped_count != self._lost_count:
            self._row[Field.LOG_DROPPED] += self._sink.dropped_count - self._lost_count
            self._lost_count = self._sink.dropped_count
