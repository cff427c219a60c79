"""The small HTTP server of the hub: one request per connection, one answer, then it closes.

It serves the control port and the metrics page. A connection holds resources for at most `REQUEST_TIMEOUT_S`,
whatever its client does, and when others wait for a place one that says nothing for much less. One whose answer comes
later or goes on leaves its place to others while there are places of that kind.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Awaitable
from enum import IntEnum
from typing import cast

from gripproxy.bus.control_answer import (
    CONTINUE,
    FAILED,
    TIMED_OUT,
    TOO_MANY_STREAMS,
    ControlAnswer,
    answer_error,
    encode_answer,
    encode_stream_head,
)
from gripproxy.bus.control_request import ControlRequest, ControlRequestError, ControlRequestReader
from gripproxy.bus.control_routes import ControlRoutes, Response
from gripproxy.bus.control_stream import ControlStream
from gripproxy.errors import ConfigError

log = logging.getLogger(__name__)

CONNECTIONS_MAX_COUNT = 128  # as Pushpin; more wait in the accept queue
BACKLOG_COUNT = 128
WAITERS_MAX_COUNT = 1_000  # whose answers come later; more keep their places among the 128
STREAMS_MAX_COUNT = 32  # whose answers go on; more are refused
REQUEST_TIMEOUT_S = 30.0  # from the first byte possible to the last byte of the answer
SILENCE_S = 2.0  # to the end of a request's head, while no place is free: anybody may connect, and then say nothing
ROOM_S = 0.5  # between two looks for such connections
ANSWER_TIMEOUT_S = 300.0  # for an answer that comes later, should its handler set no limit
# After a refusal the rest of the request is read and thrown away for so long: closing with unread bytes makes the
# kernel reset the connection, and the reset can overtake the answer.
LINGER_S = 2.0
ACCEPT_PAUSE_S = 1.0  # without a free file descriptor


class Place(IntEnum):
    """What a connection counts as."""

    ASKING = 0
    WAITING = 1
    LISTENING = 2


class ControlServer:
    """Accepts on `listener`, which it owns from now on, and answers each request by `routes`.

    A request whose body is still to come is looked at before: strangers get no room for bodies.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: socket.socket,
        routes: ControlRoutes,
        head_max_bytes: int,
        body_max_bytes: int,
    ) -> None:
        self.loop = loop
        self.routes = routes
        self._listener = listener
        self.limits = head_max_bytes, body_max_bytes
        self._counts = dict.fromkeys(Place, 0)
        self._is_accepting = False
        self._is_held = False
        self._tasks: set[asyncio.Task[object]] = set()
        self._connections: dict[_ControlConnection, float] = {}  # when each came
        self._pause: asyncio.TimerHandle | None = None
        self._room: asyncio.TimerHandle | None = None
        self._silent: set[_ControlConnection] = set()  # at the last look
        self._set_accepting(True)

    @property
    def listener_fd(self) -> int:
        return self._listener.fileno()

    @property
    def asking_count(self) -> int:
        """Connections whose request has not been answered, but for those whose answers come later or go on."""
        return self._counts[Place.ASKING]

    def hold(self) -> None:
        """Accept nobody until `release`: they wait in the accept queue."""
        self._is_held = True
        self._set_accepting(False)

    def release(self) -> None:
        """Accept again after `hold`."""
        self._is_held = False
        self._set_accepting(self._counts[Place.ASKING] < CONNECTIONS_MAX_COUNT)

    def end_streams(self) -> None:
        """End all answers that go on."""
        for connection in list(self._connections):
            connection.end_stream()

    def close(self) -> None:
        """Stop listening and cut off what is open."""
        self._set_accepting(False)
        for timer in (self._pause, self._room):
            if timer is not None:
                timer.cancel()
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        for connection in list(self._connections):
            connection.abort()

    def opened(self, connection: "_ControlConnection") -> None:
        self._connections[connection] = self.loop.time()

    def closed(self, connection: "_ControlConnection", place: Place) -> None:
        self._connections.pop(connection, None)
        self._release(place)

    def move(self, place: Place) -> bool:
        """Give a connection that asks another place, if there is one."""
        if self._counts[place] >= (WAITERS_MAX_COUNT if place is Place.WAITING else STREAMS_MAX_COUNT):
            return False
        self._counts[place] += 1
        self._release(Place.ASKING)
        return True

    def _set_accepting(self, is_accepting: bool) -> None:
        is_accepting = is_accepting and not self._is_held
        if is_accepting == self._is_accepting:
            return
        self._is_accepting = is_accepting
        if is_accepting:
            self.loop.add_reader(self._listener.fileno(), self._on_acceptable)
        else:
            self.loop.remove_reader(self._listener.fileno())

    def _on_acceptable(self) -> None:
        while self._is_accepting:
            try:
                client, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("control server cannot accept, waits %g s: %s", ACCEPT_PAUSE_S, error)
                self._set_accepting(False)
                self._pause = self.loop.call_later(ACCEPT_PAUSE_S, self._set_accepting, True)
                return
            client.setblocking(False)
            self._counts[Place.ASKING] += 1
            if self._counts[Place.ASKING] >= CONNECTIONS_MAX_COUNT:
                self._set_accepting(False)
                if self._room is None:
                    self._room = self.loop.call_later(ROOM_S, self._make_room)
            task = self.loop.create_task(self._adopt(client))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _make_room(self) -> None:
        """Give up those who have been silent for long, if others wait.

        Only who is silent at two looks: at the first one, what he had sent may not have been read yet.
        """
        self._room = None
        before, self._silent = self._silent, set()
        if self._counts[Place.ASKING] < CONNECTIONS_MAX_COUNT:
            return
        self._silent = {connection for connection in self._connections if connection.is_silent}
        came_before = self.loop.time() - SILENCE_S
        for connection in self._silent & before:
            if self._connections[connection] <= came_before:
                connection.give_up()
        self._room = self.loop.call_later(ROOM_S, self._make_room)

    async def _adopt(self, client: socket.socket) -> None:
        try:
            await self.loop.connect_accepted_socket(
                lambda: _ControlConnection(self, ControlRequestReader(*self.limits)), client
            )
        except OSError as error:
            log.debug("control connection lost before it began: %s", error)
            client.close()
            self._release(Place.ASKING)

    def _release(self, place: Place) -> None:
        self._counts[place] -= 1
        if place is Place.ASKING and self._listener.fileno() >= 0:
            self._set_accepting(True)


class _ControlConnection(asyncio.Protocol):
    """Feeds the reader, writes one answer, and sees to it that the connection ends."""

    def __init__(self, server: ControlServer, reader: ControlRequestReader) -> None:
        self._server = server
        self._reader = reader
        self._place = Place.ASKING
        self._is_admitted = False  # its head was looked at before its body had come
        self._is_asked = False  # the request was read, or refused: nothing more is
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None  # waits for an answer that comes later
        self._stream: ControlStream | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its base class
        self._deadline = self._server.loop.call_later(REQUEST_TIMEOUT_S, self._on_deadline)
        self._server.opened(self)

    def data_received(self, data: bytes) -> None:
        if self._is_asked or self._transport is None:
            return
        try:
            request = self._reader.feed(data)
        except ControlRequestError as error:
            self._answer(answer_error(error), is_read=False)
            return
        if request is None and not self._is_admitted and self._reader.head is not None:
            self._is_admitted = True
            refusal = self._refuse(self._reader.head)
            if refusal is not None:
                self._answer(refusal, is_read=False)
                return
        if self._reader.take_continue():
            self._transport.write(CONTINUE)
        if request is not None:
            self._is_asked = True
            try:
                response = self._server.routes.respond(request)
            except Exception:  # a bug of ours: the client and the log are told, and the hub goes on
                log.exception("control request failed")
                response = FAILED
            self._take(response)

    def _refuse(self, head: ControlRequest) -> ControlAnswer | None:
        try:
            return self._server.routes.refuse(head)
        except Exception:  # as with `respond`
            log.exception("control request failed")
            return FAILED

    def eof_received(self) -> bool:
        """Keep a half-closed connection only while its answer is still on the way.

        A listener whose side is shut is taken for gone: nothing else would tell before the next event.
        """
        return self._task is not None and not self._task.done()

    def pause_writing(self) -> None:
        if self._stream is not None:
            self._stream.set_full(True)

    def resume_writing(self) -> None:
        if self._stream is not None:
            self._stream.set_full(False)

    def connection_lost(self, error: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._transport = None
        if self._task is not None:
            self._task.cancel()
        if self._stream is not None:
            self._stream.on_gone()
        self._server.closed(self, self._place)

    @property
    def is_silent(self) -> bool:
        """Whether not even its request's head has come."""
        return not self._is_asked and self._reader.head is None

    def give_up(self) -> None:
        """End it at once."""
        self._answer(TIMED_OUT, is_read=True)

    def end_stream(self) -> None:
        """End it if its answer goes on; whoever listens may come again."""
        if self._stream is not None:
            self.abort()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _on_deadline(self) -> None:
        if self._is_asked:
            self.abort()
        else:
            self._answer(TIMED_OUT, is_read=False)

    def _take(self, response: Response) -> None:
        """Act on what a handler gave."""
        if isinstance(response, ControlAnswer):
            self._answer(response, is_read=True)
        elif isinstance(response, ControlStream):
            self._begin_stream(response)
        else:
            if self._server.move(Place.WAITING):
                self._place = Place.WAITING
            self._set_deadline(ANSWER_TIMEOUT_S)
            self._task = self._server.loop.create_task(self._wait(response))

    async def _wait(self, response: Awaitable[ControlAnswer]) -> None:
        try:
            answer = await response
        except Exception:  # as in `data_received`
            log.exception("control request failed")
            answer = FAILED
        self._set_deadline(REQUEST_TIMEOUT_S)
        self._answer(answer, is_read=True)

    def _begin_stream(self, stream: ControlStream) -> None:
        if self._transport is None or self._reader.is_head or not self._server.move(Place.LISTENING):
            stream.on_gone()
            self._answer(stream.answer if self._reader.is_head else TOO_MANY_STREAMS, is_read=True)
            return
        self._place = Place.LISTENING
        if self._deadline is not None:
            self._deadline.cancel()
        self._transport.write(encode_stream_head(stream.answer, self._reader.is_http_1_0))
        self._stream = stream
        stream.attach(self._transport, not self._reader.is_http_1_0)

    def _set_deadline(self, delay_s: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = self._server.loop.call_later(delay_s, self._on_deadline)

    def _answer(self, answer: ControlAnswer, is_read: bool) -> None:
        if self._transport is None or self._deadline is None:
            return
        self._is_asked = True
        self._transport.write(encode_answer(answer, self._reader.is_http_1_0, self._reader.is_head))
        if is_read:
            self._transport.close()
            return
        self._transport.write_eof()
        self._deadline.cancel()
        self._deadline = self._server.loop.call_later(LINGER_S, self.abort)


def open_listener(key: str, host: str, port: int) -> socket.socket:
    """Bind and listen on a TCP port.

    Raises:
        ConfigError: names the setting `key`, the address and the system's reason.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG_COUNT)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise ConfigError(f"{key} {host}:{port}: {_reason(error)}") from error
    return listener


def open_unix_listener(key: str, path: str) -> socket.socket:
    """Bind and listen on a unix socket file; one that a killed process left there is replaced.

    Raises:
        ConfigError: names the setting `key`, the path and the system's reason.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        listener.bind(path)
        listener.listen(BACKLOG_COUNT)
    except OSError as error:
        listener.close()
        raise ConfigError(f"{key} {path}: {_reason(error)}") from error
    return listener


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
