"""One line about the run on stderr: redrawn on a terminal, a new one every few seconds elsewhere."""

import shutil
import sys
import time

LINE_PERIOD_S = 5.0  # without a terminal
REDRAW_PERIOD_S = 0.25
BAR_WIDTH = 28


class Progress:
    """Shows phase, bar and figures."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._period_s = REDRAW_PERIOD_S if self._is_terminal else LINE_PERIOD_S
        self._next_s = 0.0
        self._phase = ""

    def show(self, phase: str, fraction: float, text: str) -> None:
        """Draw the line if it is time to."""
        now = time.monotonic()
        if now < self._next_s and phase == self._phase:
            return
        self._phase = phase
        self._next_s = now + self._period_s
        line = f"{phase:<12} {bar(fraction)} {text}"
        if self._is_terminal:
            width = shutil.get_terminal_size().columns
            print(f"\r\x1b[2K{line[: width - 1]}", end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """Print a line that stays."""
        print(f"\r\x1b[2K{text}" if self._is_terminal else text, file=sys.stderr, flush=True)


def bar(fraction: float) -> str:
    """Draw how much is done."""
    done = round(max(0.0, min(1.0, fraction)) * BAR_WIDTH)
    return f"[{'#' * done}{'.' * (BAR_WIDTH - done)}]"
