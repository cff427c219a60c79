"""The bench of the worker's tests: closed after each test, which fails if anything was left."""

from collections.abc import Callable, Iterator

import pytest

from tests.worker.bench import WorkerBench

MakeBench = Callable[..., WorkerBench]


@pytest.fixture
def make_bench() -> Iterator[MakeBench]:
    """Give a function that makes a bench; arguments as for `WorkerBench`."""
    benches: list[WorkerBench] = []

    def make(routes: str = "* {origin}", connections_max: int = 10, **settings: object) -> WorkerBench:
        bench = WorkerBench(routes, connections_max, **settings)
        benches.append(bench)
        return bench

    yield make
    try:
        for bench in benches:
            bench.check_nothing_left()
    finally:
        for bench in benches:
            bench.close()


@pytest.fixture
def bench(make_bench: MakeBench) -> WorkerBench:
    return make_bench()
