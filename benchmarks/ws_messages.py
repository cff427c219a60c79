"""Messages from clients to the origin and back: CPU time of the proxy for each, with both kinds of origin.

Each client sends a burst of messages and waits until all of it has come back, then sends the next. A burst of one shows
what a message costs by itself; of more, what a proxy gains by taking them together.
"""

from benchmarks.benchmark import CaseBenchmark
from benchmarks.report import Column
from benchmarks.servers.server import Server, ServerOptions
from benchmarks.sizes import Sizes
from benchmarks.socket_load import SocketLoad
from benchmarks.watch import Watch

WARM_S = 0.5
LEGS = {"WebSocket origin": False, "over HTTP": True}


def cases(sizes: Sizes) -> tuple[str, ...]:
    """One for each kind of origin and size of bursts."""
    return tuple(f"{leg}, {burst} at once" for leg, burst in _settings(sizes))


def _settings(sizes: Sizes) -> list[tuple[str, int]]:
    return [(leg, burst) for leg in LEGS for burst in sizes.ws_messages.bursts]


def measure(server: Server, sizes: Sizes, case: str, watch: Watch) -> dict[str, float]:
    """Divide the server's CPU time by the messages that came back to another process."""
    leg, burst = _settings(sizes)[cases(sizes).index(case)]
    size = sizes.ws_messages
    path = server.socket_path(LEGS[leg]).format("c0")
    with SocketLoad(server.http_port, path, size.connections, burst) as load:
        load.run(min(WARM_S, size.load_s), watch)
        cpu_before = server.tree.cpu_s()
        found = load.run(size.load_s, watch)
        cpu = server.tree.cpu_s() - cpu_before
    return {
        "cpu_us": cpu / found.messages * 1e6,
        "rate": found.messages / found.seconds,
        "cores": cpu / found.seconds,
        "p50_ms": found.latencies.percentile_ms(50),
        "p99_ms": found.latencies.percentile_ms(99),
        "messages": found.messages,
    }


WS_MESSAGES = CaseBenchmark(
    name="ws_messages",
    title="WebSocket messages of 64 bytes: client to origin and back",
    columns=(
        Column("cpu_us", "CPU us per message and echo", 1),
        Column("rate", "messages/s"),
        Column("cores", "cores used", 2),
        Column("p50_ms", "p50 ms for a burst", 2),
        Column("p99_ms", "p99 ms", 2),
        Column("messages", "messages"),
    ),
    servers=("gripproxy", "pushpin"),
    cases=cases,
    measure=measure,
    options=ServerOptions(has_sockets=True),
)
