"""Clients that are held: let go of by their connections, sent what is published, and taken up again."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gripproxy.engine.effects import Deliver, Effect, Finish, Park, Unpark
from gripproxy.errors import InternalError
from gripproxy.scoreboard import Field
from gripproxy_worker.client_conn import ClientConn
from gripproxy_worker.client_sockets import HELD
from gripproxy_worker.idle_conn import ClosingConn, IdleConn

if TYPE_CHECKING:
    from gripproxy_worker.driver import Driver

_DELIVERIES = int(Field.DELIVERIES)


class HeldClients:
    """What the engine says of held clients, done. `early_input` is of those that sent more than their request."""

    def __init__(self, driver: "Driver") -> None:
        self._driver = driver
        self.early_input: dict[int, bytes] = {}

    def park(self, effect: Park) -> None:
        """Let a busy client be held."""
        driver = self._driver
        conn = driver.busy_client(effect.conn_id)
        early_input = conn.take_early_input()
        if early_input:
            self.early_input[conn.fd] = early_input
        driver.wheel.cancel(conn)
        driver.sockets.records[conn.fd] = HELD
        if effect.payload:
            driver.counts.responses(effect.payload)
            if driver.meter is not None:
                driver.meter.responded(effect.payload, (effect.conn_id,))
            driver.outbox.put(conn.fd, effect.payload)

    def unpark(self, effect: Unpark) -> None:
        """Take up the request of a held client again."""
        driver = self._driver
        fd = effect.conn_id
        if driver.sockets.records[fd] is not HELD:
            raise InternalError(f"connection {fd} is not held but {driver.sockets.records[fd]!r}")
        conn = ClientConn(driver, fd, driver.sockets.client_ip(fd), self.early_input.pop(fd, b""))
        conn.restore(effect.head, effect.body)
        driver.sockets.records[fd] = conn

    def deliver(self, effect: Deliver) -> None:
        """Send many held clients the same."""
        driver = self._driver
        driver.outbox.flush()  # the beginnings of these streams may be in it
        if driver.meter is not None:
            driver.meter.streamed(effect.payload, effect.conn_ids)
        if effect.is_keep_alive:
            driver.sockets.keep_alive(effect.payload, effect.conn_ids)
            return
        taken_count = driver.sockets.deliver(effect.payload, effect.conn_ids)
        if effect.receipt is not None:
            effect.receipt.delivered += taken_count
            effect.receipt.dropped += len(effect.conn_ids) - taken_count

    def finish(self, effect: Finish) -> None:
        """Send many held clients the last that they get."""
        driver = self._driver
        driver.outbox.flush()
        driver.counts.responses(effect.payload, len(effect.conn_ids))
        if effect.receipt is not None:
            effect.receipt.delivered += len(effect.conn_ids)
        if driver.meter is not None:
            driver.meter.finished(effect.payload, effect.conn_ids)
        for fd in effect.conn_ids:
            try:
                self._finish_one(fd, effect)
            except Exception:  # the others' holds are over too
                driver.end_for_bug(effect, fd)

    def _finish_one(self, fd: int, effect: Finish) -> None:
        driver = self._driver
        if effect.payload:
            driver.sockets.write(fd, effect.payload, is_item=effect.is_item)
        else:
            driver.row[_DELIVERIES] += effect.is_item
        early_input = self.early_input.pop(fd, b"")
        if effect.is_persistent and not driver.sockets.is_leaving(fd):
            # Its next request may change the same channels, so it waits until this batch of effects is done.
            idle = IdleConn(driver, fd, driver.sockets.client_ip(fd), early_input)
            driver.sockets.records[fd] = idle
            driver.wheel.schedule(idle, driver.clock() + driver.settings.keepalive_timeout)
            driver.call_soon(idle.wake)
        else:
            ClosingConn(driver, fd).start()


HELD_EFFECTS: dict[type[Effect], Callable[[HeldClients, Any], None]] = {
    Park: HeldClients.park,
    Unpark: HeldClients.unpark,
    Deliver: HeldClients.deliver,
    Finish: HeldClients.finish,
}
