"""What tests with real processes share: the server under test, the PHP site, a short directory, and logs on failure."""

import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from tests.installed import require
from tests.integration import php_site as php
from tests.integration.process import output_tails
from tests.integration.server import GRIPPROXY, PUSHPIN, Server, ServerKind, ServerPlan

StartServer = Callable[[ServerPlan], Server]

# A busy machine is slow now and then: no test fails for the time it takes.
hypothesis_settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--server",
        choices=[kind.program for kind in ServerKind],
        default=GRIPPROXY.program,
        help="the program that the integration tests run against; with pushpin they show the reference's own behaviour",
    )


def pytest_configure(config: pytest.Config) -> None:
    # Supervisors block it and wait for it. In a thread of a test that did not, it would end the whole run; threads
    # inherit what is blocked here.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGIO])
    config.addinivalue_line("markers", "gripproxy_only: the test is about something that only gripproxy has")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # Real sockets, servers, browsers and publishers on a busy machine: what fails each time is broken, what fails once
    # is listed as RERUN at the end of the run and is to be looked at.
    for item in items:
        is_whole = {"integration", "conformance", "benchmarks"}.intersection(item.path.parts)
        item.add_marker(pytest.mark.flaky(reruns=2 if is_whole else 1))
    if config.getoption("--server") == GRIPPROXY.program:
        return
    for item in items:
        if item.get_closest_marker("gripproxy_only"):
            item.add_marker(pytest.mark.skip(reason="only for gripproxy"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.failed:
        report.sections.extend((f"output of {name}", text) for name, text in output_tails())


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory with a short name: the path of a unix socket must fit in 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="gp-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def server_kind(request: pytest.FixtureRequest) -> ServerKind:
    """The program given by ``--server``."""
    return ServerKind[request.config.getoption("--server").upper()]


@pytest.fixture
def start_server(short_path: Path, server_kind: ServerKind) -> Iterator[StartServer]:
    """Give a function that starts a server by its plan; all of them end with the test."""
    servers: list[Server] = []

    def start(plan: ServerPlan) -> Server:
        plan.kind = server_kind
        server = new_server(plan, short_path / f"s{len(servers)}")
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.stop()


def new_server(plan: ServerPlan, directory: Path) -> Server:
    """Make a server in its own directory."""
    if plan.kind is PUSHPIN:
        require("pushpin", "zurl")
    directory.mkdir()
    return Server(plan, directory)


@pytest.fixture
def context() -> Iterator["zmq.Context[zmq.Socket[bytes]]"]:
    """A ZeroMQ context of the test's own; its sockets end with the test, whatever they have not sent."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    yield context
    context.destroy(linger=0)


@pytest.fixture(scope="session")
def php_site() -> Iterator[php.PhpSite]:
    """The PHP site of the walkthrough, one for the whole run."""
    require("nginx", php.find_php_fpm() or "php-fpm")
    directory = Path(tempfile.mkdtemp(prefix="gp-php-", dir="/tmp"))
    site = php.PhpSite(directory)
    try:
        site.start()
        yield site
    finally:
        site.stop()
        shutil.rmtree(directory, ignore_errors=True)
