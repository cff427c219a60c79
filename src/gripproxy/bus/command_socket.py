"""The ZeroMQ command socket: REQ clients ask for the publish addresses, publish or recover, and get an answer."""

import asyncio
import logging
from collections.abc import Callable

import zmq

from gripproxy.bus.command_request import decide_command
from gripproxy.bus.item_intake import ItemIntake
from gripproxy.bus.outlet import Outlet
from gripproxy.bus.watched_socket import AnyContext, bind
from gripproxy.bus.zmq_inputs import FRAME_MAX_BYTES, ZmqInput
from gripproxy.settings import Settings

log = logging.getLogger(__name__)

REQUESTS_HWM = 100  # that may wait unread, as Pushpin


def open_command_socket(
    loop: asyncio.AbstractEventLoop,
    zmq_context: AnyContext,
    settings: Settings,
    outlet: Outlet,
    intake: ItemIntake,
    recover: Callable[[], None],
) -> ZmqInput:
    """Bind the ROUTER socket of `command_spec`, which must not be None. `recover` does what the command says.

    Raises:
        ConfigError: it cannot be bound.
    """
    spec = settings.command_spec or ""
    router = zmq_context.socket(zmq.ROUTER)
    router.setsockopt(zmq.RCVHWM, REQUESTS_HWM)
    router.setsockopt(zmq.MAXMSGSIZE, FRAME_MAX_BYTES)
    bind(router, "command_spec", spec, settings.ipc_file_mode)
    log.info("commands: ZeroMQ on %s", spec)

    def handle(frames: list[bytes]) -> None:
        if b"" not in frames[1:]:
            return
        body_at = frames.index(b"", 1) + 1
        if len(frames) != body_at + 1:
            return
        decision = decide_command(frames[body_at], settings)
        if decision is None:
            return
        intake.accept(decision.items)
        if decision.is_recover:
            recover()
        # A client that left, or reads nothing, gets no reply: ROUTER drops it.
        router.send_multipart([*frames[:body_at], decision.reply], zmq.NOBLOCK)

    return ZmqInput(loop, router, outlet, handle)
