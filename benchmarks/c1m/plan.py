"""The numbers of a run: how many processes of which kind, who asks for which channel, and the memory it takes."""

from dataclasses import dataclass

from benchmarks.c1m.origin import KEEP_ALIVE_CHUNK
from benchmarks.errors import BenchmarkError
from benchmarks.hold_client import stream_request
from benchmarks.servers.socket_origin import KEEP_ALIVE_FRAME
from benchmarks.socket_frames import ACCEPTED, handshake_request
from gripproxy.fd_limit import needed_workers

CLIENT_RESERVE_FDS = 500  # per client process: standard files, pipes, epoll, and the sockets of the bare write loop
BARE_SOCKETS_PER_PROCESS_MAX = 250  # of that reserve
CHANNEL_SUBSCRIBERS_COUNT = 1000
OPENING_MIN_COUNT = 1024  # connections under way at once
OPENING_PER_WORKER_COUNT = 32  # a worker that finds one client per turn of its loop pays the turn for it alone
KERNEL_BYTES_PER_CONNECTION = 7600  # both ends on loopback, on Linux 6.18: two sockets are 6,400 of it
USER_BYTES_PER_CONNECTION = 500
BYTES_PER_PROCESS = 12 << 20  # a worker's or a client process's own
BYTES_BESIDE = 300 << 20  # hub, supervisor, origin, the measuring process and its picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run. Connection `i` subscribes to channel c{i mod channels}, and some to one of the rooms besides."""

    connections: int
    workers: int
    channels: int
    client_processes: int
    rooms: int
    room_members: int
    listen_ports: int = 4
    origin_processes: int = 1
    opening_processes: int = 4  # client processes that connect at the same time
    opening_max_count: int = 64  # of each: connections that have no response yet
    keep_alive_s: int = 55
    base_s: float = 5.0  # with no connection
    settle_s: float = 5.0
    idle_s: float = 110.0  # whole keep-alive periods: they come in bunches, as the clients did
    plain_requests: int = 1000  # each way: new connection, kept connection
    channel_rounds: int = 20
    room_rounds: int = 20
    room_period_s: float = 1.0
    is_websocket: bool = False  # held over HTTP; else they are streams

    def request_of(self, index: int) -> bytes:
        """Give what connection `index` sends."""
        path = self.path_of(index)
        return handshake_request(path, index) if self.is_websocket else stream_request(path)

    @property
    def answer(self) -> bytes:
        """How the answer begins when a connection is held."""
        return ACCEPTED if self.is_websocket else b"HTTP/1.1 200 "

    @property
    def keep_alive(self) -> bytes:
        """What a client receives as a keep-alive."""
        return KEEP_ALIVE_FRAME if self.is_websocket else KEEP_ALIVE_CHUNK

    @property
    def held_metric(self) -> str:
        """gripproxy's metric of the connections it holds."""
        return "held_websockets" if self.is_websocket else "held_streams"

    @property
    def slope_figure(self) -> str:
        """The figure of memory that there is a goal for, by kind."""
        return f"user_slope_bytes_per_{'websocket' if self.is_websocket else 'connection'}"

    def room_of(self, index: int) -> int | None:
        """Give the room of connection `index`: every stride-th is in one, so that all processes have members."""
        stride = max(1, self.connections // max(1, self.room_subscriptions))
        member, rest = divmod(index, stride)
        return member % self.rooms if not rest and member < self.room_subscriptions else None

    def path_of(self, index: int) -> str:
        """Give what connection `index` asks the origin for."""
        room = self.room_of(index)
        channel = f"/hold?c=c{index % self.channels}"
        return channel if room is None else f"{channel}&r=r{room}"

    @property
    def room_subscriptions(self) -> int:
        return self.rooms * self.room_members

    def subscribers(self, channel: int) -> int:
        """Count the connections on channel c{channel}."""
        return len(range(channel, self.connections, self.channels))

    def range_of(self, process: int) -> tuple[int, int]:
        """Give the first index and the number of the connections of a client process."""
        share, rest = divmod(self.connections, self.client_processes)
        return process * share + min(process, rest), share + (process < rest)

    @property
    def bare_sockets(self) -> int:
        """Sockets per client process for the bare write loop."""
        return min(BARE_SOCKETS_PER_PROCESS_MAX, max(1, self.connections // self.client_processes))

    @property
    def keep_alive_batch(self) -> int:
        """Keep-alives that one worker writes at a time: its share of a quarter second, the timer wheel's tick."""
        return max(1, round(self.connections / self.workers / self.keep_alive_s / 4))

    @property
    def memory_bytes(self) -> int:
        """Estimate what the run takes on top of what is in use before it, kernel memory included."""
        per_connection = KERNEL_BYTES_PER_CONNECTION + USER_BYTES_PER_CONNECTION
        return (
            self.connections * per_connection
            + (self.workers + self.client_processes) * BYTES_PER_PROCESS
            + BYTES_BESIDE
        )


def client_capacity(limit_fds: int) -> int:
    """Give how many connections a client process may open."""
    return limit_fds - min(CLIENT_RESERVE_FDS, limit_fds // 2)


def worker_count(asked: int | None, connections: int, limit_fds: int, cores: int) -> int:
    """Give what is asked for, or one worker per core, or more when the fd limit says so.

    Raises:
        BenchmarkError: what is asked for cannot hold the connections; says how many are needed.
    """
    needed = needed_workers(connections, limit_fds)
    if asked is not None and asked < needed:
        raise BenchmarkError(
            f"{asked} workers cannot hold {connections:,} connections with {limit_fds:,} files per process: "
            f"it takes {needed}"
        )
    return asked or max(cores, needed)


def room_sizes(connections: int, rooms: int, members: int) -> tuple[int, int]:
    """Cut rooms down to what so many connections can fill; gives the number of rooms and of members of each."""
    members = min(members, connections)
    return max(1, min(rooms, connections // members)), members
