"""The hub in the test's own process, as far as it starts; tests/integration/test_hub.py has the rest."""

import asyncio
import dataclasses
import os
import tempfile
from collections.abc import Iterator

import pytest

from gripproxy.bus.hub import hub_main
from gripproxy.child import ChildContext
from gripproxy.errors import ConfigError
from gripproxy.scoreboard import HUB_ROW, Scoreboard
from gripproxy.settings import Settings
from tests.integration.ports import free_ports


@pytest.fixture
def context() -> Iterator[ChildContext]:
    """The ties to a supervisor that reads nothing."""
    ends = [*os.pipe(), *os.pipe()]
    yield ChildContext("hub", 0, HUB_ROW, Scoreboard(1), ends[0], ends[3])
    for end in ends:
        os.close(end)
    asyncio.set_event_loop(None)


@pytest.mark.parametrize("key", ["push_in_spec", "command_spec", "push_in_http_addr", "prometheus_port", "stats_spec"])
def test_port_that_is_taken_refuses_the_start(context: ChildContext, key: str) -> None:
    """Naming the setting. Whatever was opened before it is closed, or the process would hang here."""
    ports = free_ports(4)
    with tempfile.TemporaryDirectory(prefix="hub") as directory:
        settings = Settings(
            rundir=directory,
            push_in_spec=f"tcp://127.0.0.1:{ports[0]}",
            push_in_sub_specs=(),
            command_spec=f"tcp://127.0.0.1:{ports[0 if key == 'command_spec' else 1]}",
            push_in_http_port=ports[0 if key == "push_in_http_addr" else 2],
            prometheus_port=f"127.0.0.1:{ports[0 if key == 'prometheus_port' else 3]}",
            stats_spec=f"tcp://127.0.0.1:{ports[0]}" if key == "stats_spec" else None,
        )
        if key == "push_in_spec":
            settings = dataclasses.replace(settings, push_in_spec="tcp://192.0.2.1:1")
        with pytest.raises(ConfigError, match=f"^{key}"):
            hub_main(settings, context)
    assert not context.has_reported
