"""Tells systemd how a service is, as sd_notify(3) does. Without systemd every call does nothing."""

import contextlib
import os
import socket
import time
from collections.abc import Mapping
from typing import Self


class Notifier:
    """Sends datagrams to the socket that the service manager named. It never waits, and keeps nothing open.

    `watchdog_s`: how often the manager wants to hear of us; None: it does not.
    """

    def __init__(self, address: str | None, watchdog_s: float | None = None) -> None:
        self._address = None if not address else "\0" + address[1:] if address[0] == "@" else address
        self.watchdog_s = watchdog_s

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read what the manager has told this process. Addresses of other kinds than unix sockets are not known."""
        address = environment.get("NOTIFY_SOCKET", "")
        watchdog_pid = environment.get("WATCHDOG_PID", "")
        is_ours = watchdog_pid in ("", str(os.getpid()))
        text = environment.get("WATCHDOG_USEC", "")
        watchdog_us = int(text) if text.isascii() and text.isdecimal() and is_ours else 0
        return cls(address if address[:1] in ("/", "@") else None, watchdog_us / 1e6 if watchdog_us else None)

    @property
    def is_heard(self) -> bool:
        """Whether anybody has asked to be told."""
        return self._address is not None

    def ready(self, status: str | None = None) -> None:
        """Say that the service serves, for the first time or again after `reloading`."""
        self._send("READY=1", *_status_lines(status))

    def status(self, text: str) -> None:
        """Say in one line how it is going; `systemctl status` shows it."""
        self._send(*_status_lines(text))

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """Say that the configuration is being read again; `ready` must follow."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, status: str | None = None) -> None:
        """Say that the service is ending."""
        self._send("STOPPING=1", *_status_lines(status))

    def extend_timeout(self, seconds: float) -> None:
        """Ask not to be killed for so long, from now on."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def main_pid(self, pid: int) -> None:
        """Say that another process is the service's main process now. Only the main process is believed."""
        self._send(f"MAINPID={pid}")

    def _send(self, *lines: str) -> None:
        if self._address is None or not lines:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifying:
            notifying.setblocking(False)
            notifying.sendto("\n".join(lines).encode(errors="replace"), self._address)


def _status_lines(text: str | None) -> list[str]:
    return [] if text is None else ["STATUS=" + text.replace("\n", " ")]
