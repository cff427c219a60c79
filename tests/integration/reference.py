"""Debian's Pushpin beside gripproxy: the same script, played on it first."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from websockets.exceptions import WebSocketException

from tests.installed import require

ATTEMPTS_COUNT = 3
Seen = TypeVar("Seen")


def try_reference(play: Callable[[Path], Seen], directory: Path) -> Seen:
    """Play a script on the reference: again if it failed, as 1.36 now and then loses a hold on a busy machine."""
    require("pushpin", "zurl")
    for attempt in range(ATTEMPTS_COUNT - 1):
        try:
            return play(directory / f"pushpin-{attempt}")
        except (AssertionError, OSError, WebSocketException) as error:
            print(f"the reference failed: {error!r}")
    return play(directory / "pushpin")
