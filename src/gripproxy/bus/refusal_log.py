"""Log what was refused at most once in a while, so that a broken publisher, origin or client cannot fill the disk."""

INTERVAL_S = 1.0  # unless the owner says otherwise


class RefusalLog:
    """Turns a stream of refusals of `noun` into lines; the caller logs what it gets. `now` is monotonic seconds."""

    def __init__(self, noun: str = "items", interval_s: float = INTERVAL_S) -> None:
        self._noun = noun
        self._interval_s = interval_s
        self._quiet_until = 0.0
        self._held_back_count = 0
        self._last_text = ""

    def note(self, text: str, now: float) -> str | None:
        """Record one refusal; give the line to log now, or None while the last line is younger than that."""
        if now >= self._quiet_until and not self._held_back_count:
            self._quiet_until = now + self._interval_s
            return text
        self._held_back_count += 1
        self._last_text = text
        return self.flush(now)

    def flush(self, now: float) -> str | None:
        """Give the line that sums up what was held back, once it is time. To be called about every second."""
        if now < self._quiet_until or not self._held_back_count:
            return None
        line = f"{self._last_text} ({self._held_back_count} {self._noun} refused since the last line)"
        self._held_back_count = 0
        self._quiet_until = now + self._interval_s
        return line
