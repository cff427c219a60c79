"""Waiting for something real, with a deadline that names what did not happen."""

import time
from collections.abc import Callable
from typing import TypeVar

POLL_S = 0.02  # short enough not to show in a test's time, long enough not to take the CPU from the server

Found = TypeVar("Found")


def wait_until(look: Callable[[], Found | None], what: str, timeout_s: float = 10.0) -> Found:
    """Call `look` until it gives something true, and give that back.

    Raises:
        AssertionError: nothing true within `timeout_s`; the text names `what`.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what}")
        time.sleep(POLL_S)
