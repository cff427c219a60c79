"""Plain proxying: requests that are answered at once, on kept-alive connections on both sides."""

from benchmarks.benchmark import CaseBenchmark
from benchmarks.report import Column
from benchmarks.request_load import run_load
from benchmarks.servers.server import Server
from benchmarks.sizes import Sizes
from benchmarks.watch import Watch

WARM_S = 1.0  # pools filled, caches warm


def cases(sizes: Sizes) -> tuple[str, ...]:
    """One case."""
    return (f"{sizes.plain_proxy.connections} connections",)


def measure(server: Server, sizes: Sizes, case: str, watch: Watch) -> dict[str, float]:
    """Divide the server's CPU time by the requests that another process got answered."""
    watch.say("warming up")
    run_load(server.http_port, server.plain_path(), sizes.plain_proxy.connections, WARM_S)
    watch.say(f"requests for {sizes.plain_proxy.load_s:g} s")
    cpu_before = server.tree.cpu_s()
    load = run_load(server.http_port, server.plain_path(), sizes.plain_proxy.connections, sizes.plain_proxy.load_s)
    cpu = server.tree.cpu_s() - cpu_before
    if not load.requests:
        return {}
    return {"cpu_us": cpu / load.requests * 1e6, "rate": load.requests / load.seconds, "cores": cpu / load.seconds}


PLAIN_PROXY = CaseBenchmark(
    name="plain_proxy",
    title="Plain requests through the proxy, answered by the same nginx origin",
    columns=(
        Column("cpu_us", "CPU us per request", 1),
        Column("rate", "requests/s"),
        Column("cores", "cores used", 2),
    ),
    servers=("gripproxy", "pushpin", "nginx"),
    cases=cases,
    measure=measure,
)
