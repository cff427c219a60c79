"""A started program: its own process group, its output in a file, ended by its id and nothing else."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.integration.deadline import wait_until

STOP_TIMEOUT_S = 10.0
SHOWN_OUTPUT_BYTES = 8000  # the end of each program's output, put under a failed test

running: list["Process"] = []


class Process:
    """A child with `output_path` for both its output streams."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        output_path: Path,
        env: Mapping[str, str] | None = None,
        stdin: int | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.output_path = output_path
        with output_path.open("ab") as output:
            self.popen = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL if stdin is None else stdin,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                start_new_session=True,
                cwd=cwd,
            )
        running.append(self)

    @property
    def pid(self) -> int:
        return self.popen.pid

    def output(self) -> str:
        """Give everything the program and its children have printed so far."""
        return self.output_path.read_text(errors="replace")

    def is_running(self) -> bool:
        return self.popen.poll() is None

    def wait_for_output(self, text: str, timeout_s: float = 10.0) -> None:
        """Wait until `text` has been printed."""
        wait_until(
            lambda: text in self.output(), f"{self.name} prints {text!r}; it printed:\n{self.output()}", timeout_s
        )

    def signal(self, number: int) -> None:
        """Send a signal to the program itself, not to its children."""
        self.popen.send_signal(number)

    def wait(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Wait for the end and give the exit status."""
        return self.popen.wait(timeout_s)

    def stop(self) -> int:
        """End the program, and whatever it has left in its process group."""
        try:
            if self.is_running():
                self.signal(signal.SIGTERM)
            return self.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self.popen.wait(STOP_TIMEOUT_S)
            if self in running:
                running.remove(self)


def output_tails() -> list[tuple[str, str]]:
    """Give (name, end of output) of every program that runs now, for the report of a failed test."""
    return [(process.name, process.output()[-SHOWN_OUTPUT_BYTES:]) for process in running]
