"""The hub's HTTP servers as the settings have them; tests/integration/test_control_port.py asks them."""

from pathlib import Path

import pytest

from gripproxy.bus.control_request import ControlRequest
from gripproxy.bus.http_ports import new_guard, open_metrics_listener
from gripproxy.bus.settings_reload import HubReload
from gripproxy.errors import ConfigError
from gripproxy.scoreboard import Scoreboard
from gripproxy.settings import Settings
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


def test_key_of_the_settings_guards_the_control_port(tmp_path: Path) -> None:
    """One from a file of hexadecimal digits is known by these, too."""
    path = tmp_path / "key"
    path.write_text("6b6579\n")
    row = Scoreboard(1).row(0)
    for text, accepted in (("key", b"key"), ("base64:a2V5", b"key"), (f"file:{path}", b"6b6579")):
        guard = new_guard(Settings(push_in_http_key=text), row, HubReload(Settings()))
        for bearer, status in ((accepted, None), (b"other", 401)):
            request = ControlRequest(b"POST", b"/publish/", None, b"", {b"authorization": [b"Bearer " + bearer]})
            refusal = guard.refuse(request, False)
            assert (refusal and refusal.status) == status
    guard = new_guard(Settings(), row, HubReload(Settings()))
    assert guard.refuse(ControlRequest(b"POST", b"/", None, b""), False) is None
