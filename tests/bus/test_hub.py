"""The parts of the hub that need no process; tests/integration/test_hub.py has the rest."""

import pytest

from gripproxy.bus.hub import open_metrics_listener
from gripproxy.errors import ConfigError
from tests.bus.bench import BusBench
from tests.integration.ports import free_ports


def test_metrics_may_be_served_on_a_socket_file(bench: BusBench) -> None:
    """No port is taken that others could reach."""
    path = f"{bench.directory}/metrics"
    listener = open_metrics_listener(f"ipc://{path}")
    assert listener.getsockname() == path
    listener.close()


@pytest.mark.parametrize("spec", ["", "x", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", ":1²"])
def test_bad_metrics_address_is_refused_with_its_value(spec: str) -> None:
    """Starting without the metrics that were asked for would be noticed too late."""
    with pytest.raises(ConfigError) as refused:
        open_metrics_listener(spec)
    assert str(refused.value).startswith(f"prometheus_port: invalid prometheus port: {spec} (expected ")


def test_metrics_may_be_served_on_every_address_that_the_configuration_takes() -> None:
    """One that it takes and the hub does not would stop the start."""
    (port,) = free_ports(1)
    for spec, host in ((f"[::1]:{port}", "::1"), (f"127.0.0.1:{port}", "127.0.0.1"), (f"{port}", "0.0.0.0")):
        listener = open_metrics_listener(spec)
        assert listener.getsockname()[:2] == (host, port)
        listener.close()
