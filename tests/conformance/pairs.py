"""Both servers of a configuration, each with an origin of its own, started at the first scenario that wants them."""

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.conformance.collection import SCENARIOS
from tests.conformance.configurations import CONFIGURATIONS, SETTLING_HOST
from tests.conformance.runner import Bench, Outcome
from tests.conformance.scenario import Scenario
from tests.conftest import new_server
from tests.integration.deadline import wait_until
from tests.integration.origin import ScriptedOrigin, answer
from tests.integration.server import GRIPPROXY, PUSHPIN, ServerKind, ServerPlan

AFTER_WARMING = "/after-warming"
WARMING = answer(
    "200 OK", "Grip-Hold: stream", "Grip-Channel: warming", f"Grip-Link: <{AFTER_WARMING}>; rel=next", body=b"opened]\n"
)
SETTLED = answer("200 OK", "Content-Type: text/plain", "Grip-Hold: stream", body=b"[settling stream opened]\n")


@contextlib.contextmanager
def running_origin() -> Iterator[ScriptedOrigin]:
    """An origin that answers until the end of the block."""
    origin = ScriptedOrigin()
    origin.start()
    yield origin
    origin.stop()


def wait_for_updates(bench: Bench, settling: ScriptedOrigin) -> None:
    """Wait until the servers have updated what is held on the warm channels, as they do for first subscriptions.

    A stream that is opened after them asks its link for the same reason, and so after them.
    """
    bench.hold_open("/warming", SETTLING_HOST)
    wait_until(lambda: any(request.target == AFTER_WARMING for request in settling.requests), "the first updates")


@contextlib.contextmanager
def running_bench(kind: ServerKind, name: str, directory: Path) -> Iterator[Bench]:
    """Start a server of a configuration with its warm channels held, and end it after the block."""
    configuration = CONFIGURATIONS[name]
    warm = sorted({channel for scenario in SCENARIOS if scenario.config == name for channel in scenario.warm})
    with running_origin() as origin, running_origin() as settling:
        settling.play({"/settle": SETTLED, "/warming": WARMING, AFTER_WARMING: SETTLED})
        plan = ServerPlan(
            kind=kind,
            routes=configuration.route_lines(origin.port, settling.port),
            sections=configuration.all_sections(),
            workers=configuration.workers,
        )
        server = new_server(plan, directory / f"{name}-{kind.program}")
        try:
            server.start()
            bench = Bench(server, origin, warm)
            if warm:
                wait_for_updates(bench, settling)
            yield bench
            bench.close()
        finally:
            server.stop()


class ServerPairs:
    """Starts what a scenario needs and plays it on both servers at once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._benches: dict[tuple[ServerKind, str], Bench] = {}
        self._failures: dict[
            tuple[ServerKind, str], BaseException
        ] = {}  # a server that did not start is not tried again
        self._open = contextlib.ExitStack()
        self._threads = self._open.enter_context(ThreadPoolExecutor(len(ServerKind)))

    def play(self, scenario: Scenario) -> tuple[Outcome, Outcome]:
        """Give what came of it with the reference and with gripproxy.

        Raises:
            AssertionError: a step did not come true with one of them; the text names it.
        """
        outcomes = self.play_apart(scenario)
        for kind, outcome in outcomes.items():
            if isinstance(outcome, AssertionError):
                raise AssertionError(f"{kind.program}: {outcome}") from outcome
            if isinstance(outcome, BaseException):
                raise outcome
        return outcomes[PUSHPIN], outcomes[GRIPPROXY]  # type: ignore[return-value]

    def play_apart(
        self, scenario: Scenario, kinds: Sequence[ServerKind] = (PUSHPIN, GRIPPROXY)
    ) -> dict[ServerKind, Outcome | BaseException]:
        """Give what came of it with each server, be it an error."""
        plays = {kind: self._threads.submit(self._play, kind, scenario) for kind in kinds}
        return {kind: play.exception() or play.result() for kind, play in plays.items()}

    def _play(self, kind: ServerKind, scenario: Scenario) -> Outcome:
        key = kind, scenario.config
        if key in self._failures:
            raise self._failures[key]
        if key not in self._benches:
            try:
                self._benches[key] = self._open.enter_context(running_bench(*key, self._directory))
            except BaseException as error:
                self._failures[key] = error
                raise
        return self._benches[key].play(scenario)

    def close(self) -> None:
        """End every server and origin."""
        self._open.close()
