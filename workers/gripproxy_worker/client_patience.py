"""How long a busy client is waited for: for the rest of a head, for bytes of a body, to read, to ask again."""

from abc import ABC, abstractmethod
from enum import IntEnum
from typing import TYPE_CHECKING

from gripproxy.engine.timer_wheel import TICK_S, Slot
from gripproxy.errors import ClientError
from gripproxy.protocol.http1 import RequestHead
from gripproxy_worker.origin_conn import Origin

if TYPE_CHECKING:
    from gripproxy_worker.driver import Driver

SHRINK_S = 5.0  # after the last response: a busy client's next request finds all in place


class Phase(IntEnum):
    """How much of the request is here."""

    HEAD = 0
    BODY = 1
    DONE = 2


HEAD, BODY, DONE = Phase


class PatientClient(ABC):
    """The deadlines of a `ClientConn`, and what they depend on."""

    __slots__ = (
        "_buffer",
        "_driver",
        "_head",
        "_is_head_awaited",
        "_is_turn_due",
        "_origin",
        "_phase",
        "active_at",
        "client_ip",
        "fd",
        "slot",
    )

    def __init__(self, driver: "Driver", fd: int, client_ip: str, buffer: bytes) -> None:
        self.fd = fd
        self.client_ip = client_ip
        self.slot: Slot | None = None
        self.active_at = 0.0  # when the present wait for the client began
        self._driver = driver
        self._buffer = buffer
        self._phase = HEAD
        self._head: RequestHead | None = None  # from when it is whole to the end of its response
        self._origin: Origin | None = None
        self._is_head_awaited = False  # the rest of it
        self._is_turn_due = False

    @property
    def is_idle(self) -> bool:
        """Between two requests, with nothing of the next one here."""
        return self._phase is HEAD and not self._buffer

    def end_with_response(self) -> None:
        """Let the connection end with its present response, and say so in it, if its head is still to come."""
        if self._head is not None:
            self._head.is_keep_alive = False

    @property
    def is_resting(self) -> bool:
        """Idle, with nothing under way of the request before either."""
        return self.is_idle and self._origin is None and not self._is_turn_due

    @abstractmethod
    def _is_body_wanted(self) -> bool:
        """Whether more of the request's body is waited for."""

    @abstractmethod
    def _refuse(self, error: ClientError) -> None:
        """Answer, and end."""

    @abstractmethod
    def on_gone(self) -> None:
        """End without a word."""

    def _wait(self) -> None:
        """Nothing more can be done until the client does something: it has so long for that."""
        driver = self._driver
        is_idle = self._phase is HEAD and not self._buffer
        if not self._is_head_awaited or self._phase is not HEAD:  # a head's time counts from its first bytes
            self.active_at = driver.clock()
            self._is_head_awaited = self._phase is HEAD and not is_idle
        patience_s = driver.shrink_s if is_idle else self._patience_s()
        assert patience_s is not None
        at = self.active_at + patience_s
        # Moving an entry costs more than a look at it that came too early.
        if self.slot is None or self.slot.tick * TICK_S > at + (patience_s if is_idle else TICK_S):
            driver.wheel.schedule(self, at)

    def _patience_s(self) -> float | None:
        """Give how long the client may be silent now; None while silence is the origin's part."""
        settings = self._driver.settings
        if self._phase is HEAD:
            return settings.client_header_timeout if self._buffer else self._driver.shrink_s
        if self._is_reader_awaited:
            return settings.send_timeout
        return settings.client_body_timeout if self._phase is BODY and self._is_body_wanted() else None

    @property
    def _is_reader_awaited(self) -> bool:
        return self._head is None or (self._origin is not None and self._origin.is_paused)

    def on_deadline(self, now: float) -> None:
        """Look whether the client's time is up; if not, look again when it would be."""
        patience_s = self._patience_s()
        if patience_s is None or self._is_turn_due:
            return  # it gets a new deadline with the next wait for the client
        if self._is_reader_awaited and self._phase is not HEAD:
            backlog = self._driver.sockets.backlogs.get(self.fd)
            if backlog is not None and backlog.has_moved():
                self.active_at = now
        if now - self.active_at < patience_s:
            self._driver.wheel.schedule(self, self.active_at + patience_s)
        else:
            self._run_out(now)

    def _run_out(self, now: float) -> None:
        """The client was silent for too long: say so in the middle of a request, otherwise just leave."""
        if self.is_idle and now - self.active_at < self._driver.settings.keepalive_timeout:
            self._driver.shrink(self)
        elif self._phase is HEAD and self._buffer.strip(b"\r\n"):
            self._refuse(ClientError("Request header did not arrive in time.", 408))
        elif self._phase is BODY and not self._is_reader_awaited:
            self._refuse(ClientError("Request body did not arrive in time.", 408))
        else:
            self.on_gone()
