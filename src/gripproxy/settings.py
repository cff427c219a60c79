"""What a running gripproxy was told: one frozen object, made once before fork and shared by every process.

Attribute names are the configuration file's key names, Pushpin's, wherever there is such a key, so
that a reader can search for them. `config_file.load_settings` makes it from a file; the defaults here are what
runs without one.
"""

from dataclasses import dataclass
from enum import IntEnum

from gripproxy.log_levels import LogLevels

SOCKET_PATH_MAX_BYTES = 107  # sun_path of Linux, less its final NUL
SOCKET_NAME_MAX_BYTES = 16  # of the names that are given to `Settings.ipc_path`, with what `own_ipc_path` appends
WORKERS_MAX_COUNT = 512  # half of what connection ids have room for: two generations may run at once
SEATS_COUNT = 2 * WORKERS_MAX_COUNT  # see `Settings.seat_of`


class ForwardedProtocol(IntEnum):
    """`set_x_forwarded_protocol`."""

    OFF = 0
    PROTO_ONLY = 1  # X-Forwarded-Proto
    BOTH = 2  # and X-Forwarded-Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenAddress:
    """One TCP listener for clients. `port` 0 lets the kernel choose (tests). `maxconn`: its clients at most.

    `proxy_protocol`: load balancers connect to it, and each connection begins with a PROXY protocol header.
    """

    host: str = "0.0.0.0"
    port: int
    maxconn: int | None = None
    proxy_protocol: bool = False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalAddress:
    """One unix socket for clients; `path` is absolute. None: what the process's umask, user and group make of it."""

    path: str
    mode: int | None = None
    user_id: int | None = None
    group_id: int | None = None
    maxconn: int | None = None
    proxy_protocol: bool = False

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardedForRule:
    """`x_forwarded_for`: keep the last `truncate` values (None: all), then append the client's address."""

    truncate: int | None = None
    is_append: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting. Times in seconds and sizes in bytes unless the name says otherwise."""

    generation: int = 0  # how many upgrades lie between the first start and this program
    # [global]
    config_path: str | None = None
    libdir: str = "/usr/lib/gripproxy"
    rundir: str = "/run/gripproxy"
    ipc_prefix: str = "pushpin-"
    port_offset: int = 0
    stats_connection_ttl: int = 120
    stats_connection_send: bool = True

    # [runner]
    http_port: tuple[ListenAddress, ...] = (ListenAddress(port=7999),)
    https_ports: tuple[ListenAddress, ...] = ()
    local_ports: tuple[LocalAddress, ...] = ()
    workers: int = 1  # already resolved: the config's 0 or absence means one per CPU core
    log_level: LogLevels = LogLevels()
    log_events: tuple[str, ...] = ("request", "hold")  # gripproxy's own key: what gets a line; also "publish"
    log_format: str = "text"  # gripproxy's own key: or "json"
    client_buffer_size: int = 8192  # a request head must fit in it
    client_maxconn: int = 50_000  # over all workers
    allow_compression: bool = False  # of WebSocket messages
    # gripproxy's own keys
    client_header_timeout: float = 60.0  # from a request head's first byte to its last
    client_body_timeout: float = 60.0  # between bytes of a request body
    client_max_body_size: int = 0  # of a request; 0: unlimited
    client_max_message_size: int = 0  # of a WebSocket client, inflated; 0: unlimited
    keepalive_timeout: float = 1800.0  # for a request to begin
    send_timeout: float = 1800.0  # for a client to read any of what waits for it
    memory_limit: int = 0  # of all processes; 0: as the cgroup or the machine limits them
    drain_timeout: float = 10.0  # from SIGTERM to the end of the last client; 0: at once

    # [proxy]
    routesfile: str | None = None  # absolute path
    routes: tuple[str, ...] = ("* test",)  # `--route` lines; used when `routesfile` is None
    debug: bool = False
    accept_x_forwarded_protocol: bool = False
    set_x_forwarded_protocol: ForwardedProtocol = ForwardedProtocol.PROTO_ONLY
    x_forwarded_for: ForwardedForRule = ForwardedForRule()
    x_forwarded_for_trusted: ForwardedForRule = ForwardedForRule()
    set_real_ip_from: tuple[str, ...] = ()  # gripproxy's own key: networks, or "unix:"
    accept_pushpin_route: bool = False
    auto_cross_origin: bool = False
    orig_headers_need_mark: tuple[str, ...] = ()
    sig_iss: str = "pushpin"
    sig_key: str = ""
    upstream_key: str = ""
    cdn_loop: str = ""
    log_from: bool = False
    log_user_agent: bool = False
    origin_connect_timeout: float = 10.0  # gripproxy's own key
    origin_queue_timeout: float = 30.0  # gripproxy's own key: for a connection to an origin to become free
    origin_timeout: float = 600.0  # gripproxy's own key: no byte from the origin for so long is a failure
    max_open_requests: int = -1  # on their way to origins, over all workers; 0 or less: as many as the fd limit allows

    # [handler]
    push_in_spec: str | None = "tcp://127.0.0.1:5560"
    push_in_sub_specs: tuple[str, ...] = ("tcp://127.0.0.1:5562",)
    push_in_sub_connect: bool = False
    push_in_http_addr: str = "127.0.0.1"
    push_in_http_port: int | None = 5561
    push_in_http_key: str = ""  # gripproxy's own key: what publishers prove that they know
    push_in_http_iss: str = ""  # gripproxy's own key: of their tokens; empty: any
    zmq_curve_secret_key: str = ""  # gripproxy's own key: Z85 or file:PATH; empty: no CURVE
    zmq_curve_client_keys: tuple[str, ...] = ()  # gripproxy's own key; empty: any
    push_in_sub_server_key: str = ""  # gripproxy's own key: of those that the SUB socket connects to
    push_in_http_max_headers_size: int = 10_000
    push_in_http_max_body_size: int = 1_000_000
    command_spec: str | None = "tcp://127.0.0.1:5563"
    ipc_file_mode: int | None = None
    stats_spec: str | None = None
    stats_format: str = "tnetstring"
    stats_report_interval: int = 10  # 0: no reports
    stats_subscription_ttl: int = 60
    prometheus_port: str | None = None
    prometheus_prefix: str = ""
    connection_subscription_max: int = 20
    id_cache_ttl: int = 60
    message_wait_ms: int = 5000
    message_rate: int = -1  # deliveries per second, over all workers; 0 or less: as fast as it goes
    message_hwm: int = -1  # that may wait for their turn, for each route with an id; 0 or less: no limit
    message_block_size: int = -1  # bytes; deliveries are weighed by it; 0 or less: each counts as one
    update_on_first_subscription: bool = True
    subscription_linger: int = 60

    @property
    def listeners(self) -> tuple[ListenAddress | LocalAddress, ...]:
        """Every listener for clients; a listener's index in it is its number in all processes."""
        return (*self.http_port, *self.https_ports, *self.local_ports)

    def certificates_directory(self) -> str | None:
        """Give the directory of the certificates for `https_ports`; without a configuration file there is none."""
        if self.config_path is None:
            return None
        return f"{self.config_path.rpartition('/')[0]}/runner/certs"

    def ipc_path(self, name: str) -> str:
        """Give the path of a private unix socket file: ``{rundir}/{ipc_prefix}NAME``."""
        return f"{self.rundir}/{self.ipc_prefix}{name}"

    def own_ipc_path(self, name: str) -> str:
        """Give the path of a socket file that this generation and the next one need side by side during an upgrade."""
        return self.ipc_path(f"{name}.1" if self.generation % 2 else name)

    def seat_of(self, worker_index: int) -> int:
        """Give a worker's number on the bus and in connection ids, which no worker of the next generation has."""
        return worker_index + WORKERS_MAX_COUNT * (self.generation % 2)
