"""An engine that a test speaks for: what the worker does with effects, whatever events lead to them."""

from collections.abc import Callable
from typing import Any

from gripproxy.engine.core import Core
from gripproxy.engine.effects import Effect
from gripproxy.engine.events import Event
from tests.worker.bench import WorkerBench


class ScriptedCore:
    """Answers events whose type is in `script`, and keeps them in `events`; the others go to the real engine."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.script: dict[type, Callable[[Any], list[Effect]]] = {}
        self.events: list[Any] = []

    def handle(self, event: Event, now: float) -> list[Effect]:
        answer = self.script.get(type(event))
        if answer is None:
            return self.core.handle(event, now)
        if not isinstance(event, _Wanted):
            self.events.append(event)
        return answer(event)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.core, name)

    def expect(self, *types: type) -> None:
        """Keep events of these types, and do nothing about them."""
        for event_type in types:
            self.script[event_type] = lambda event: []


def script(bench: WorkerBench) -> ScriptedCore:
    """Put a script before the bench's engine."""
    core = ScriptedCore(bench.core)
    bench.driver.core = core  # type: ignore[assignment]
    return core


class _Wanted:
    """The event that `carry_out` makes: no other part of gripproxy knows it."""


def carry_out(bench: WorkerBench, *effects: Effect) -> None:
    """Let the worker do these, as if an event from the bus had led to them."""
    core: Any = bench.driver.core
    if isinstance(core, Core):
        core = script(bench)
    core.script[_Wanted] = lambda event: list(effects)
    bench.driver.dispatch(None, _Wanted())  # type: ignore[arg-type]
