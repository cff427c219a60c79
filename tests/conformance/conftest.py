"""Both servers, with one origin behind them, for the whole run."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.runner import Bench
from tests.conformance.transcript import SIG_KEY
from tests.conftest import new_server
from tests.integration.origin import ScriptedOrigin
from tests.integration.server import GRIPPROXY, PUSHPIN, ServerKind, ServerPlan

REFUSING = "127.0.0.1:1"


def routes(origin: str) -> list[str]:
    """One host per behaviour, so that all scenarios share one start of the servers."""
    return [
        f"plain.test {origin}",
        f"debug.test,debug {origin}",
        f"refused.test {REFUSING}",
        f"refused-debug.test,debug {REFUSING} {REFUSING}",
        f"failover.test {REFUSING} {origin}",
        f"prefix.test,prefix=p- {origin}",
        f"nogrip.test,no_grip {origin}",
        f'rewrite.test,path_beg=/v1/,replace_beg=/,header="X-Edge: a, b",as_host=inner.test {origin}',
        f"implied.test {origin},sub=implied",
        f"only.test,path_beg=/only {origin}",
        "builtin.test test",
    ]


@pytest.fixture(scope="session")
def origin() -> Iterator[ScriptedOrigin]:
    """The origin of both servers."""
    origin = ScriptedOrigin()
    origin.start()
    yield origin
    origin.stop()


def run_bench(kind: ServerKind, origin: ScriptedOrigin) -> Iterator[Bench]:
    """Start a server for the run, play on it, end it."""
    directory = Path(tempfile.mkdtemp(prefix="gp-c-", dir="/tmp"))
    plan = ServerPlan(kind=kind, routes=routes(f"127.0.0.1:{origin.port}"), sections={"proxy": {"sig_key": SIG_KEY}})
    server = new_server(plan, directory / "s")
    try:
        server.start()
        bench = Bench(server, origin)
        yield bench
        bench.close()
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def pushpin_bench(origin: ScriptedOrigin) -> Iterator[Bench]:
    """Debian's pushpin."""
    yield from run_bench(PUSHPIN, origin)


@pytest.fixture(scope="session")
def gripproxy_bench(origin: ScriptedOrigin) -> Iterator[Bench]:
    """The program of this repository."""
    yield from run_bench(GRIPPROXY, origin)
