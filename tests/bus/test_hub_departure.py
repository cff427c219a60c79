"""What listens, by the names that two versions call it; all else about a departure is tested with real hubs."""

from typing import Any

from gripproxy.bus.hub_departure import HubDeparture, http_specs, zmq_specs
from gripproxy.settings import Settings


def test_what_is_bound_has_a_name() -> None:
    """What is connected, or not wanted, is nothing to hand over."""
    settings = Settings(stats_spec="ipc:///s", command_spec=None, prometheus_port="9000")
    assert zmq_specs(settings) == {
        "push_in_spec": "tcp://127.0.0.1:5560",
        "push_in_sub_specs": "tcp://127.0.0.1:5562",
        "stats_spec": "ipc:///s",
    }
    assert http_specs(settings) == {"push_in_http": "127.0.0.1 5561", "prometheus_port": "9000"}
    assert "push_in_sub_specs" not in zmq_specs(Settings(push_in_sub_connect=True))


class Parts:
    """What is looked at of a hub before it departs."""

    settings = Settings()


def test_hub_that_has_given_all_away_ends_when_the_upgrade_is_off() -> None:
    """Also long after the other hub had all: the old supervisor starts one that serves. Else it goes on."""
    parts: Any = Parts()
    ends: list[bool] = []
    departure = HubDeparture(parts, lambda: ends.append(True))
    departure.call_off()
    assert not ends
    departure.has_moved = True
    departure.call_off()
    assert ends
