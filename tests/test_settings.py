"""The settings object: what a process is told and cannot change."""

import dataclasses

import pytest

from gripproxy.settings import ListenAddress, Settings


def test_settings_cannot_change() -> None:
    """Every process has the same ones, forever: what is read again at SIGHUP is not in them."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().workers = 9  # type: ignore[misc]


@pytest.mark.parametrize(("host", "text"), [("127.0.0.1", "127.0.0.1:80"), ("::1", "[::1]:80")])
def test_address_is_written_as_in_the_configuration(host: str, text: str) -> None:
    """An IPv6 address without brackets would swallow its port."""
    assert str(ListenAddress(host=host, port=80)) == text


def test_private_sockets_of_two_instances_differ() -> None:
    """Two instances may share a run directory; `ipc_prefix` keeps them apart."""
    first, second = Settings(rundir="/run/g", ipc_prefix="p1-"), Settings(rundir="/run/g", ipc_prefix="p2-")
    assert first.ipc_path("bus") == "/run/g/p1-bus"
    assert second.ipc_path("bus") == "/run/g/p2-bus"


def test_publish_ports_are_open_to_this_machine_only() -> None:
    """They ask nobody for a password."""
    settings = Settings()
    assert settings.push_in_http_addr == "127.0.0.1"
    specs = [settings.push_in_spec, *settings.push_in_sub_specs, settings.command_spec]
    assert all(spec is not None and spec.startswith("tcp://127.0.0.1:") for spec in specs)
