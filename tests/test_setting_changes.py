"""What a reload would change, and what it says of it."""

import dataclasses

import pytest

from gripproxy.config_keys import KEYS, Kind
from gripproxy.log_levels import LogLevels
from gripproxy.setting_changes import compare_settings, settle_settings
from gripproxy.settings import ForwardedForRule, ForwardedProtocol, ListenAddress, LocalAddress, Settings


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"debug": True}, "debug (false -> true)"),
        ({"keepalive_timeout": 60.0}, "keepalive_timeout (1800 -> 60)"),
        ({"message_wait_ms": 10}, "message_wait (5000 -> 10)"),
        ({"push_in_spec": None}, "push_in_spec (tcp://127.0.0.1:5560 -> (empty))"),
        ({"log_level": LogLevels(worker=3)}, "log_level (2 -> 2,worker:3)"),
        ({"log_events": ()}, "log_events (request,hold -> (empty))"),
        ({"set_x_forwarded_protocol": ForwardedProtocol.OFF}, "set_x_forwarded_protocol (proto-only -> false)"),
        (
            {"x_forwarded_for": ForwardedForRule(truncate=0, is_append=True)},
            "x_forwarded_for ((empty) -> truncate:0,append)",
        ),
        (
            {"http_port": (ListenAddress(port=80, maxconn=3), ListenAddress(host="::1", port=81))},
            "http_port (0.0.0.0:7999 -> 0.0.0.0:80?maxconn=3,[::1]:81)",
        ),
        ({"local_ports": (LocalAddress(path="/x", mode=0o600),)}, "local_ports ((empty) -> unix:/x?mode=600)"),
        ({"sig_key": "geheim"}, "sig_key ((empty) -> (secret))"),
        ({"sig_key": "file:/x"}, "sig_key ((empty) -> file:/x)"),
        ({"ipc_file_mode": 0o660}, "ipc_file_mode ((empty) -> 660)"),
    ],
    ids=lambda value: value.split(" ")[0] if isinstance(value, str) else "",
)
def test_change_is_told_as_a_file_would_say_it(values: dict[str, object], text: str) -> None:
    """An operator looks for these words in the file."""
    assert [str(change) for change in compare_settings(Settings(), Settings(**values))] == [text]  # type: ignore[arg-type]


def test_no_secret_is_shown() -> None:
    """Logs go to many places."""
    (change,) = compare_settings(Settings(upstream_key="one"), Settings(upstream_key="two"))
    assert str(change) == "upstream_key (another secret)"
    assert {key.name for key in KEYS.values() if key.kind in (Kind.SIGNING_KEY, Kind.CURVE_KEY)} >= {"sig_key"}


def test_what_can_change_in_place_does_and_the_rest_stays() -> None:
    """A worker that is forked later must fit those that run."""
    running = Settings(generation=3, workers=2, debug=False, config_path="/a")
    wanted = Settings(generation=0, workers=4, debug=True, config_path="/a", http_port=())
    assert settle_settings(running, wanted) == dataclasses.replace(running, debug=True)
    changes = compare_settings(running, wanted)
    assert [(change.name, change.needs_restart) for change in changes] == [
        ("http_port", True),
        ("workers", True),
        ("debug", False),
    ]
