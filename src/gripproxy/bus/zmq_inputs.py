"""The ZeroMQ sockets that publishers send items to: PULL (one frame each) and SUB (channel and item)."""

import asyncio
import hashlib
import logging
from collections import Counter, deque
from collections.abc import Callable

import zmq

from gripproxy.bus.curve import become_client, read_curve_keys, read_sub_server_key
from gripproxy.bus.forwarded_channels import ForwardedChannels
from gripproxy.bus.item_intake import ItemIntake
from gripproxy.bus.outlet import MESSAGE_MAX_BYTES, MESSAGE_MAX_COUNT, Outlet
from gripproxy.bus.watched_socket import BATCH_MAX_COUNT, AnyContext, AnySocket, WatchedSocket, bind, connect
from gripproxy.errors import PublishError
from gripproxy.protocol.publish_item import ITEM_MAX_BYTES, decode_content, decode_frame
from gripproxy.scoreboard import Field
from gripproxy.settings import Settings

log = logging.getLogger(__name__)

# Frames that wait inside of ZeroMQ per publisher. Pushpin has 101,000; but then a publisher that outruns the workers
# fills our memory before it feels any resistance, and a hub that is killed takes all of these with it. A PUSH socket
# waits, and 64 are as fast as a thousand; a PUB socket drops instead, though what is small waits in the kernel first.
FRAMES_HWM = {zmq.PULL: 64, zmq.SUB: 1_000}
# Larger frames than an item may have are read, refused and logged; but past this ZeroMQ drops the connection itself.
FRAME_MAX_BYTES = 4 * ITEM_MAX_BYTES


# After a while the kernel tries only once a minute to connect; a publisher's host is to be noticed when it is back.
DIGEST_BYTES = 12  # of a message, to know it again
CONNECT_MAX_MS = 3_000


class ZmqInput:
    """Reads multipart messages in batches while the bus takes items, and hands each to `handle`.

    While `sources` is not None, messages are counted in it by the descriptor that they came by, and all their bytes
    under -1. While `early` is not None, messages are put there and not handled. While `noted` is not, their digests are
    put there, too.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        zmq_socket: AnySocket,
        outlet: Outlet,
        handle: Callable[[list[bytes]], None],
    ) -> None:
        self.zmq_socket = zmq_socket
        self._recv = zmq_socket.recv
        self._get = zmq_socket.getsockopt
        self._outlet = outlet
        self._handle = handle
        self._is_held = False
        self.sources: Counter[int] | None = None
        self.dry_count = 0  # times that there was nothing more to read
        self.early: deque[list[bytes]] | None = None
        self.noted: deque[bytes] | None = None
        self.relay: Callable[[list[bytes]], None] | None = None  # gets all messages that come from now on
        self._socket = WatchedSocket(loop, zmq_socket, self._read_batch)
        outlet.on_unblocked.append(self._socket.wake)
        self.wake = self._socket.wake

    def hold(self) -> None:
        """Read nothing until `release`."""
        self._is_held = True

    def release(self) -> None:
        """Read on after `hold`."""
        self._is_held = False
        self.wake()

    def handle_early(self, skipped: Counter[bytes]) -> None:
        """Handle what came early, less what is in `skipped`, by `digest` and as often; then all that comes."""
        early, self.early = self.early or (), None
        for frames in early:
            key = digest(frames)
            if skipped[key] > 0:
                skipped[key] -= 1
            else:
                self._handle(frames)

    def _count_source(self, frame: zmq.Frame) -> None:
        if self.sources is not None:
            self.sources[int(frame.get(zmq.SRCFD))] += 1
            self.sources[-1] += len(frame)

    def close(self) -> None:
        self._outlet.on_unblocked.remove(self._socket.wake)
        self._socket.close()

    def _read_batch(self) -> bool:
        self._outlet.begin_batch()
        try:
            return self._read_messages()
        finally:
            self._outlet.end_batch()

    def _read_messages(self) -> bool:
        recv, outlet = self._recv, self._outlet
        try:
            for _ in range(BATCH_MAX_COUNT):
                if outlet.is_blocked or self._is_held:
                    # Until the socket is asked, what comes meanwhile keeps its fd readable: the loop would spin.
                    self._get(zmq.EVENTS)
                    return False
                # Without a copy, for a frame knows whether more follow: to ask the socket takes longer than to read it.
                frame = recv(zmq.NOBLOCK, False)
                self._count_source(frame)
                self._take(self._whole_message(frame, frame.bytes))
        except zmq.Again:
            self.dry_count += 1
            return False
        return True

    def _take(self, frames: list[bytes]) -> None:
        if self.noted is not None:
            self.noted.append(digest(frames))
        if self.relay is not None:
            self.relay(frames)
        elif self.early is None:
            self._handle(frames)
        else:
            self.early.append(frames)

    def _whole_message(self, frame: zmq.Frame, first: bytes) -> list[bytes]:
        """Read the frames that follow the first one, which are there as soon as it is."""
        frames = [first]
        while frame.more:
            frame = self._recv(zmq.NOBLOCK, False)
            frames.append(frame.bytes)
        return frames


class PullInput(ZmqInput):
    """Reads single frames, and hands the plainest items on many at a time, as that takes much less time.

    `handle` gets all other messages. Nothing overtakes anything.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        zmq_socket: AnySocket,
        outlet: Outlet,
        intake: ItemIntake,
        handle: Callable[[list[bytes]], None],
    ) -> None:
        self._intake = intake
        super().__init__(loop, zmq_socket, outlet, handle)

    def _read_messages(self) -> bool:
        recv, outlet = self._recv, self._outlet
        channels: list[str] = []
        contents: list[bytes] = []
        size_bytes = 0
        try:
            for _ in range(BATCH_MAX_COUNT):
                if outlet.is_blocked or self._is_held:
                    self._get(zmq.EVENTS)  # see above
                    return False
                frame = recv(zmq.NOBLOCK, False)
                if self.sources is not None:
                    self._count_source(frame)
                body = frame.bytes
                plain = None if frame.more else decode_content(body)
                if plain is not None:
                    channels.append(plain[0])
                    contents.append(plain[1])
                    size_bytes += len(body)
                    if len(channels) < MESSAGE_MAX_COUNT and size_bytes < MESSAGE_MAX_BYTES:
                        continue
                if channels:
                    self._intake.accept_contents(channels, contents)
                    channels, contents, size_bytes = [], [], 0
                if plain is None:
                    self._handle(self._whole_message(frame, body))
        except zmq.Again:
            self.dry_count += 1
            return False
        finally:
            if channels:
                self._intake.accept_contents(channels, contents)
        return True


def digest(frames: list[bytes]) -> bytes:
    """Give what tells one message from another."""
    return hashlib.blake2b(b"\0".join(frames), digest_size=DIGEST_BYTES).digest()


def open_push_input(
    loop: asyncio.AbstractEventLoop,
    zmq_context: AnyContext,
    settings: Settings,
    outlet: Outlet,
    intake: ItemIntake,
    listener_fd: int | None = None,
) -> ZmqInput:
    """Bind the PULL socket of `push_in_spec`, which must not be None, or take over what listens there.

    Raises:
        ConfigError: it cannot be bound.
    """
    spec = settings.push_in_spec or ""
    zmq_socket = _input_socket(zmq_context, zmq.PULL)
    bind(zmq_socket, "push_in_spec", spec, settings.ipc_file_mode, listener_fd)
    log.info("publish input: ZeroMQ PULL on %s", spec)

    def handle(frames: list[bytes]) -> None:
        if len(frames) != 1:
            intake.refuse(Field.ITEMS_PULL, "received message with parts != 1")
            return
        try:
            item = decode_frame(frames[0])
        except PublishError as error:
            intake.refuse(Field.ITEMS_PULL, str(error))
        else:
            intake.accept((item,))

    return PullInput(loop, zmq_socket, outlet, intake, handle)


def open_sub_input(
    loop: asyncio.AbstractEventLoop,
    zmq_context: AnyContext,
    settings: Settings,
    outlet: Outlet,
    intake: ItemIntake,
    channels: ForwardedChannels,
    listener_fd: int | None = None,
) -> ZmqInput:
    """Bind the SUB socket to the first of `push_in_sub_specs`, or connect it to all with `push_in_sub_connect`.

    Items of channels that no worker asked for are dropped unread: ZeroMQ matches prefixes, so a subscription to
    ``news`` also brings ``news2``.

    Raises:
        ConfigError: it cannot be bound or connected.
    """
    zmq_socket = _input_socket(zmq_context, zmq.SUB)
    # ZeroMQ silently drops subscriptions past this limit; what waits is bounded by the number of channels.
    zmq_socket.setsockopt(zmq.SNDHWM, 0)
    if settings.push_in_sub_connect:
        _keep_alive(zmq_socket)
    if settings.push_in_sub_server_key:
        _become_client(zmq_socket, settings)

    def handle(frames: list[bytes]) -> None:
        if len(frames) != 2:
            intake.refuse(Field.ITEMS_SUB, "received message with parts != 2")
            return
        channel = frames[0].decode(errors="replace")
        if channel not in channels.wanted:
            intake.count_unread()
            return
        try:
            item = decode_frame(frames[1], channel)
        except PublishError as error:
            intake.refuse(Field.ITEMS_SUB, str(error))
        else:
            intake.accept((item,), Field.ITEMS_SUB)

    sub_input = ZmqInput(loop, zmq_socket, outlet, handle)
    channels.attach(zmq_socket, sub_input.wake)
    if settings.push_in_sub_connect:
        for spec in settings.push_in_sub_specs:
            connect(zmq_socket, "push_in_sub_specs", spec)
            log.info("publish input: ZeroMQ SUB connects to %s", spec)
    else:
        spec = settings.push_in_sub_specs[0]
        bind(zmq_socket, "push_in_sub_specs", spec, settings.ipc_file_mode, listener_fd)
        log.info("publish input: ZeroMQ SUB on %s", spec)
    return sub_input


def _input_socket(zmq_context: AnyContext, kind: zmq.SocketType) -> AnySocket:
    zmq_socket = zmq_context.socket(kind)
    zmq_socket.setsockopt(zmq.RCVHWM, FRAMES_HWM[kind])
    zmq_socket.setsockopt(zmq.MAXMSGSIZE, FRAME_MAX_BYTES)
    return zmq_socket


def _become_client(zmq_socket: AnySocket, settings: Settings) -> None:
    keys = read_curve_keys(settings)
    become_client(zmq_socket, read_sub_server_key(settings), None if keys is None else keys.secret)


def _keep_alive(zmq_socket: AnySocket) -> None:
    """Notice within a minute that a publisher's host is gone. Figures as in Pushpin."""
    zmq_socket.setsockopt(zmq.CONNECT_TIMEOUT, CONNECT_MAX_MS)
    zmq_socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    zmq_socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, 30)
    zmq_socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, 6)
    zmq_socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, 5)
