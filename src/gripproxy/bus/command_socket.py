"""The ZeroMQ command socket: REQ clients ask for addresses or connections, publish or recover, and get an answer."""

import asyncio
import logging
from collections.abc import Callable

import zmq

from gripproxy.bus.command_request import CommandResult, decode_request, encode_reply
from gripproxy.bus.commands import Commands
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
    commands: Commands,
    listener_fd: int | None = None,
) -> ZmqInput:
    """Bind the ROUTER socket of `command_spec`, which must not be None.

    Raises:
        ConfigError: it cannot be bound.
    """
    spec = settings.command_spec or ""
    router = zmq_context.socket(zmq.ROUTER)
    router.setsockopt(zmq.RCVHWM, REQUESTS_HWM)
    router.setsockopt(zmq.MAXMSGSIZE, FRAME_MAX_BYTES)
    bind(router, "command_spec", spec, settings.ipc_file_mode, listener_fd)
    log.info("commands: ZeroMQ on %s", spec)

    def send(frames: list[bytes]) -> None:
        # A client that left, or reads nothing, gets no reply: ROUTER drops it.
        router.send_multipart(frames, zmq.NOBLOCK)
        command_input.wake()  # a send may swallow the edge that tells of a request

    command_input = ZmqInput(loop, router, outlet, lambda frames: run_command(commands, frames, send))
    return command_input


def run_command(commands: Commands, frames: list[bytes], send: Callable[[list[bytes]], None]) -> None:
    """Do what a request says, whose envelope comes first, and send the reply behind the same envelope."""
    if b"" not in frames[1:]:
        return
    body_at = frames.index(b"", 1) + 1
    envelope = frames[:body_at]
    bodies = [frame for frame in frames[body_at:] if frame]  # the reference takes no notice of empty ones
    request = decode_request(bodies[0]) if len(bodies) == 1 else None
    if request is None:
        return

    def reply(result: CommandResult) -> None:
        send([*envelope, encode_reply(request, result)])

    commands.run(request.method, request.args, reply)
