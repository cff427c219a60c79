"""Settings that are written down and read again."""

import dataclasses
import json
import os
from pathlib import Path

import pytest

from gripproxy.kept_settings import (
    KEPT_NAME,
    decode_settings,
    encode_settings,
    find_running,
    forget_settings,
    keep_settings,
    read_kept_settings,
)
from gripproxy.log_levels import LogLevels
from gripproxy.settings import ForwardedForRule, ForwardedProtocol, ListenAddress, LocalAddress, Settings

RICH = Settings(
    config_path="/etc/\udcff/gripproxy.conf",  # a name that is no UTF-8
    http_port=(ListenAddress(port=80), ListenAddress(host="::1", port=81, maxconn=5, proxy_protocol=True)),
    https_ports=(ListenAddress(port=443),),
    local_ports=(LocalAddress(path="/run/x", mode=0o600, user_id=1, group_id=2, maxconn=3),),
    log_level=LogLevels(supervisor=1, hub=2, worker=3),
    set_x_forwarded_protocol=ForwardedProtocol.BOTH,
    x_forwarded_for=ForwardedForRule(truncate=0, is_append=True),
    push_in_spec=None,
    sig_key="\u2028 key",
    keepalive_timeout=0.5,
)


@pytest.mark.parametrize("settings", [Settings(), RICH])
def test_settings_come_back_as_they_were(settings: Settings) -> None:
    """Types too: some are told apart by identity."""
    again = decode_settings(encode_settings(settings, 7))
    assert again == settings
    for field in dataclasses.fields(Settings):
        assert type(getattr(again, field.name)) is type(getattr(settings, field.name))
    assert again.set_x_forwarded_protocol is settings.set_x_forwarded_protocol


def test_what_another_version_knows_means_nothing() -> None:
    """In an upgrade two versions share the directory; what this one lacks it cannot use, what is absent is usual."""
    values = json.loads(encode_settings(RICH, 7))
    values["flux"] = 88
    values["http_port"][0]["ListenAddress"]["colour"] = "red"
    del values["debug"]
    assert decode_settings(json.dumps(values)) == RICH


@pytest.mark.parametrize("text", ["", "[]", '{"http_port": [{"Path": {}}]}', '{"http_port": [{"a": 1, "b": 2}]}', "{"])
def test_what_is_damaged_is_not_taken(tmp_path: Path, text: str) -> None:
    settings = Settings(rundir=str(tmp_path))
    Path(settings.own_ipc_path(KEPT_NAME)).write_text(text)
    assert read_kept_settings(settings) is None


def test_each_generation_keeps_its_own(tmp_path: Path) -> None:
    """The old one's children still read theirs while the new one takes over."""
    first, second = (Settings(rundir=str(tmp_path), generation=number, debug=number > 0) for number in (0, 1))
    assert read_kept_settings(first) is None
    keep_settings(first)
    keep_settings(second)
    assert (read_kept_settings(first), read_kept_settings(second)) == (first, second)


def test_running_instance_is_found(tmp_path: Path) -> None:
    """In an upgrade the new version; not one that was killed, nor what no version writes."""
    first, second, third = (Settings(rundir=str(tmp_path), generation=number) for number in (0, 1, 2))
    assert find_running(first) is None
    keep_settings(first)
    assert find_running(third) == (os.getpid(), first)
    keep_settings(second, 1)
    assert find_running(first) == (1, second)
    keep_settings(third)
    assert find_running(first) == (os.getpid(), third)
    keep_settings(third, 2**22 + 1)  # there is no such process
    assert find_running(first) == (1, second)
    forget_settings(second)
    forget_settings(second)
    assert find_running(first) is None
    Path(second.own_ipc_path(KEPT_NAME)).write_text("[]")
    assert find_running(first) is None
