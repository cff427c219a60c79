"""Reading everything again for an instance that runs."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from gripproxy import config_reload
from gripproxy.config_file import Overrides, load_settings
from gripproxy.config_reload import ConfigReload, describe_changes
from gripproxy.errors import ConfigError
from gripproxy.kept_settings import read_kept_settings
from gripproxy.routes_file import read_kept_routes
from gripproxy.settings import Settings

CONFIG = """\
[runner]
http_port=8001
workers=2
{runner}
[proxy]
routesfile=routes
sig_key=file:{directory}/key
{proxy}
[handler]
{handler}
"""


class Instance:
    """A configuration in a directory, as it was when the instance was started."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config_path, self.routes_path, self.key_path = (directory / name for name in ("conf", "routes", "key"))
        self.write()
        self.routes_path.write_text("* a:1\n")
        self.key_path.write_text("00ff")
        overrides = Overrides(rundir=str(directory))
        self.running, _ = load_settings(str(self.config_path), overrides)
        self.reload = ConfigReload(overrides)

    def write(self, runner: str = "", proxy: str = "", handler: str = "") -> None:
        text = CONFIG.format(directory=self.directory, runner=runner, proxy=proxy, handler=handler)
        self.config_path.write_text(text)

    @property
    def kept(self) -> tuple[Settings | None, str | None]:
        return read_kept_settings(self.running), read_kept_routes(self.running)


@pytest.fixture
def instance(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Instance:
    caplog.set_level(logging.INFO)
    return Instance(tmp_path)


def test_new_settings_are_kept_and_named(instance: Instance, caplog: pytest.LogCaptureFixture) -> None:
    """Each with its old and new value; those that stay are named too, and stay in what is kept."""
    instance.write("keepalive_timeout=60\nlocal_ports=/run/x", "debug=true")
    instance.routes_path.write_text("* b:1\nbad line:x\n")
    assert instance.reload(instance.running, False)
    settings, routes = instance.kept
    assert settings is not None and routes == "* b:1\nbad line:x\n"
    assert (settings.keepalive_timeout, settings.debug, settings.local_ports) == (60.0, True, ())
    assert caplog.messages[0].startswith(f"{instance.routes_path}:2: ")
    assert caplog.messages[1:3] == [
        "settings changed: keepalive_timeout (1800 -> 60), debug (false -> true)",
        "settings that stay until a restart or `gripproxy upgrade`: local_ports ((empty) -> unix:/run/x)",
    ]
    assert caplog.messages[3].startswith("routes loaded with 1 entries in ")


def test_setting_that_stays_is_named_again_and_one_that_changed_is_not(
    instance: Instance, caplog: pytest.LogCaptureFixture
) -> None:
    """What runs is compared with what is wanted: after the first reload that is what was kept."""
    instance.write("https_ports=8443", "debug=true")
    assert instance.reload(instance.running, False)
    settings, _ = instance.kept
    assert settings is not None
    caplog.clear()
    assert instance.reload(settings, False)
    assert [text for text in caplog.messages if text.startswith("settings")] == [
        "settings that stay until a restart or `gripproxy upgrade`: https_ports ((empty) -> 0.0.0.0:8443)"
    ]


BAD: dict[str, tuple[Callable[["Instance"], object], str]] = {
    "bad value": (lambda at: at.write("keepalive_timeout=soon\n"), "conf:4: keepalive_timeout=soon: "),
    "missing file": (lambda at: at.config_path.unlink(), "failed to open config file: "),
    "no routes file": (lambda at: at.routes_path.unlink(), "unable to open routes file: "),
    "no route in it": (lambda at: at.routes_path.write_text("{\n"), "no line is a route: "),
    "no key": (lambda at: at.key_path.unlink(), "conf:7: sig_key=file:"),
    "bad upstream key": (lambda at: at.write(proxy="upstream_key=file:/x"), "conf:8: upstream_key=file:/x: "),
    "bad publish key": (lambda at: at.write(handler="push_in_http_key=file:/x"), "conf:10: push_in_http_key=file:/x: "),
    "bad curve key": (lambda at: at.write(handler="zmq_curve_secret_key=short"), "conf:10: zmq_curve_secret_key="),
    "not together": (lambda at: at.write("client_maxconn=1"), "client_maxconn=1 is less than"),
}


@pytest.mark.parametrize("name", list(BAD))
def test_bad_file_changes_nothing(instance: Instance, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """One line says what and where; what is good beside it takes no effect either."""
    spoil, text = BAD[name]
    instance.routes_path.write_text("* other:1\n")
    spoil(instance)
    assert not instance.reload(instance.running, False)
    assert instance.kept == (None, None)
    (message,) = caplog.messages
    assert message.startswith("not reloaded, all stays as it is: ") and text in message


def test_file_that_is_cut_off_within_a_line_changes_nothing(
    instance: Instance, caplog: pytest.LogCaptureFixture
) -> None:
    """It is being written, and what comes behind would count as taken out. A start takes it, as the reference does."""
    text = instance.config_path.read_text()
    instance.config_path.write_text(text[: text.index("workers=") + 4])
    assert not instance.reload(instance.running, is_routes_only=False)
    assert f"{instance.config_path}:3: the file ends in the middle of this line: work" in caplog.text
    assert instance.kept == (None, None)


def test_several_bad_values_are_one_line(instance: Instance) -> None:
    instance.write("keepalive_timeout=soon\nclient_maxconn=few")
    with pytest.raises(ConfigError, match=r"conf:4: keepalive_timeout=soon.*\(and 1 more; gripproxy check lists all\)"):
        instance.reload.read(instance.running)


def test_changed_routes_file_leaves_a_half_edited_configuration_alone(
    instance: Instance, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody asked for that to be read: its editor may not have finished."""
    instance.write("keepalive_timeout=soon")
    instance.routes_path.write_text("* b:1\n")
    assert instance.reload(instance.running, True)
    assert instance.kept == (instance.running, "* b:1\n")
    instance.routes_path.unlink()
    assert not instance.reload(instance.running, True)
    assert "routes not reloaded, the old ones stay: unable to open routes file" in caplog.text


def test_changed_routes_file_is_read_when_it_rests(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes it in place empties it first: without any route all clients would be refused meanwhile."""
    texts = iter(["", "* a:1\n", "* a:1\nb b:1\n", "* a:1\nb b:1\n"])
    monkeypatch.setattr(config_reload, "read_routes_text", lambda settings: next(texts))
    assert instance.reload.read(instance.running, is_routes_only=True).routes_count == 2
    assert list(texts) == []
    monkeypatch.setattr(config_reload, "REST_S", 0.0)
    endless = (f"* a:{number}\n" for number in range(1, 1000))
    monkeypatch.setattr(config_reload, "read_routes_text", lambda settings: next(endless))
    assert instance.reload.read(instance.running, is_routes_only=True).routes_count == 1


def test_what_cannot_be_kept_changes_nothing(instance: Instance, caplog: pytest.LogCaptureFixture) -> None:
    """The other processes could not read it."""
    gone = Settings(config_path=str(instance.config_path), rundir=str(instance.directory / "gone"))
    assert not instance.reload(gone, False)
    assert "what was read cannot be kept: " in caplog.text and "No such file or directory" in caplog.text


def test_command_line_counts_as_at_the_start(tmp_path: Path) -> None:
    """What it said instead of the file it still says."""
    Instance(tmp_path)
    overrides = Overrides(rundir=str(tmp_path), port="8100", workers=1, routes=("* x:1",))
    running, _ = load_settings(str(tmp_path / "conf"), overrides)
    reading = ConfigReload(overrides).read(running)
    assert (reading.settings, reading.changes, reading.routes_text) == (running, [], "* x:1")


def test_without_a_file_only_routes_and_keys_are_read() -> None:
    """One that would be found now is not the one that the instance was started with."""
    running = Settings(routes=("* a:1",))
    assert ConfigReload(Overrides()).read(running).settings == running
    assert describe_changes([]) == ("", "")
