"""The parts of the hub that need no process; tests/integration/test_hub.py has the rest."""

import pytest

from gripproxy.bus.hub import open_metrics_listener
from gripproxy.errors import ConfigError
from tests.bus.bench import BusBench


def test_metrics_may_be_served_on_a_socket_file(bench: BusBench) -> None:
    """No port is taken that others could reach."""
    path = f"{bench.directory}/metrics"
    listener = open_metrics_listener(f"ipc://{path}")
    assert listener.getsockname() == path
    listener.close()


@pytest.mark.parametrize("spec", ["", "x", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", ":1²"])
def test_bad_metrics_address_is_refused_with_its_value(spec: str) -> None:
    """Starting without the metrics that were asked for would be noticed too late."""
    with pytest.raises(ConfigError, match="prometheus_port is not PORT, ADDRESS:PORT or ipc://PATH: "):
        open_metrics_listener(spec)
