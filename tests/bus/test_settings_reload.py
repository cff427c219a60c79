"""Taking new settings and keys in the hub while it serves."""

import asyncio
import dataclasses
import logging
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
import zmq

from gripproxy import logs
from gripproxy.bus.hub import _Hub
from gripproxy.bus.settings_reload import HubReload, NewSettings
from gripproxy.child import ChildContext
from gripproxy.kept_settings import keep_settings
from gripproxy.log_levels import LogLevels
from gripproxy.scoreboard import HUB_ROW, Scoreboard
from gripproxy.settings import Settings
from tests.settings_twins import Observed, changeable_names, observe, stale_parts, with_other

SECRET_KEY = "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6"


@pytest.fixture
def base(short_path: Path) -> Iterator[Settings]:
    """Settings of a hub with all of its sockets, as files."""
    yield Settings(
        rundir=str(short_path),
        push_in_spec=f"ipc://{short_path}/pull",
        push_in_sub_specs=(f"ipc://{short_path}/sub",),
        command_spec=f"ipc://{short_path}/command",
        stats_spec=f"ipc://{short_path}/monitors",
        prometheus_port=f"ipc://{short_path}/metrics",
        push_in_http_port=0,
        zmq_curve_secret_key=SECRET_KEY,
    )
    logs.use(LogLevels(), is_json=False)


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[asyncio.AbstractEventLoop]:
    """One in which no time passes."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    monkeypatch.setattr(loop, "time", lambda: 100.0)
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    yield loop
    asyncio.set_event_loop(None)
    loop.close()


def observe_hub(settings: Settings, loop: asyncio.AbstractEventLoop, taken: Settings | None = None) -> Observed:
    """Open a hub, let it take other settings if there are any, and look into it."""
    ends = [*os.pipe(), *os.pipe()]
    hub = _Hub(settings, ChildContext("hub", 0, HUB_ROW, Scoreboard(1), ends[0], ends[3]), loop)
    with ExitStack() as opened:
        zmq_context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        opened.callback(zmq_context.destroy, 0)
        loop.run_until_complete(hub._open(zmq_context, opened))
        if taken is not None:
            keep_settings(taken)
            hub._reload.run()
            hub._settings = taken  # what a next start would go by
        callbacks = list(opened._exit_callbacks)  # type: ignore[attr-defined]  # of ExitStack
        observed = observe([hub, callbacks])
        if hub._late is not None:
            hub._late.cancel()
    for end in ends:
        os.close(end)
    return observed


@pytest.mark.parametrize("name", changeable_names())
def test_hub_that_takes_a_setting_is_as_if_started_with_it(
    name: str, base: Settings, loop: asyncio.AbstractEventLoop
) -> None:
    """No copy of the old value is left anywhere; and back again."""
    other = with_other(base, name)
    for before, after in ((base, other), (other, base)):
        changed = observe_hub(before, loop, taken=after)
        stale = stale_parts(partial(observe_hub, after, loop), changed)
        assert stale == {}


def test_what_is_kept_reaches_all_that_asked_for_it(base: Settings) -> None:
    """With its keys, which are read again."""
    reload, taken = HubReload(base), list[NewSettings]()
    reload.add(taken.append)
    reload.add(taken.append)
    keep_settings(with_other(base, "push_in_http_key"))
    reload.run()
    assert taken[0] is taken[1]
    assert taken[0].settings.push_in_http_key == "other"
    assert taken[0].publish_key is not None and taken[0].publish_key.secret == b"other"
    assert taken[0].curve_keys is not None and taken[0].curve_keys.secret == SECRET_KEY.encode()


def test_bug_of_one_part_keeps_no_other_from_it(base: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """The operator believes in what the supervisor said."""
    reload, taken = HubReload(base), list[NewSettings]()
    reload.add(lambda new: {}["bug"])
    reload.add(taken.append)
    keep_settings(base)
    reload.run()
    assert len(taken) == 1
    assert caplog.messages == ["internal error while taking new settings"]


def test_what_cannot_be_read_changes_nothing(base: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever has become of it since the supervisor kept it."""
    reload, taken = HubReload(base), list[NewSettings]()
    reload.add(taken.append)
    reload.run()
    keep_settings(dataclasses.replace(base, push_in_http_key=f"file:{base.rundir}/gone"))
    reload.run()
    assert taken == []
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert caplog.messages[0].endswith(f"the old ones stay: what was kept in {base.rundir} cannot be read")
    assert "push_in_http_key: " in caplog.messages[1]
