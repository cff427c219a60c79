"""Notices that the routes file has changed, by looking at it from time to time.

Looking is surer than being told: it works on every file system, and whichever way the file is replaced, also where a
link on the way to it is turned, as Kubernetes does with mounted files.
"""

import os
from collections.abc import Callable

LOOK_PERIOD_S = 0.25
SETTLE_S = 1.0  # from the first change seen to the reload, same as Pushpin: it may take several writes

Signature = tuple[int, int, int, int] | None


def file_signature(path: str) -> Signature:
    """Give what changes when the file does; None for one that is not there."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class RoutesWatch:
    """Looks at one file. What is to be seen at the first look is what has been read already."""

    def __init__(self, path: str, look: Callable[[str], Signature] = file_signature) -> None:
        self._path = path
        self._look = look
        self._signature = look(path)
        self._looked_s = float("-inf")
        self._due_s: float | None = None

    def wait_s(self, now: float) -> float:
        """Say how long nothing needs to be looked at."""
        return max(0.0, self._looked_s + LOOK_PERIOD_S - now)

    def is_reload_due(self, now: float) -> bool:
        """Look, if it is time, and tell whether the file should be read again. `now` is monotonic seconds.

        A change that is seen after the answer was yes leads to another yes: nothing that is read can be older than
        the last change for long.
        """
        if self.wait_s(now) > 0:
            return False
        self._looked_s = now
        signature = self._look(self._path)
        if signature != self._signature:
            self._signature = signature
            if self._due_s is None:
                self._due_s = now + SETTLE_S
        if self._due_s is None or now < self._due_s:
            return False
        self._due_s = None
        return True
