"""Who comes to a relay and who leaves, for the log: whoever is turned away comes again ten times a second, for ever."""

PERIOD_S = 10.0
LINES_MAX_COUNT = 50  # in a period


class PeerLog:
    """Gives the lines to log, no more than a few. `now` is monotonic seconds."""

    def __init__(self) -> None:
        self._period_began_at = -PERIOD_S
        self._lines_count = 0
        self._held_back_count = 0

    def note(self, text: str, now: float) -> str | None:
        """Take what happened; give the line to log now, or None if there have been too many."""
        if now - self._period_began_at >= PERIOD_S:
            self._period_began_at, self._lines_count = now, 0
        if self._lines_count >= LINES_MAX_COUNT:
            self._held_back_count += 1
            return None
        self._lines_count += 1
        count, self._held_back_count = self._held_back_count, 0
        return f"{text} (before it, {count} more came or left)" if count else text
