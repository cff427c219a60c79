"""Whole files: what comes out of them, what is said about them, and which ones refuse a start."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest

from gripproxy.config_file import Overrides, default_rundir, load_settings, read_config
from gripproxy.config_values import cores_count
from gripproxy.errors import ConfigError
from gripproxy.log_levels import LogLevels
from gripproxy.settings import ForwardedProtocol, ListenAddress, Settings
from tests.installed import require

# Debian's file in what matters: an include that is not there, keys of processes that are not here.
PUSHPIN_CONF = """\
[global]
include={libdir}/internal.conf
rundir=/var/run/pushpin
ipc_prefix=pushpin-
port_offset=0
stats_connection_ttl=120
[runner]
services=condure,pushpin-proxy,pushpin-handler
http_port=7999
#https_ports=443
logdir=/var/log/pushpin
log_level=2
client_buffer_size=8192
client_maxconn=50000
condure_bin=condure
[proxy]
routesfile=routes
debug=false
set_x_forwarded_protocol=proto-only
x_forwarded_for=
sig_key=changeme
upstream_key=
sockjs_url=http://cdn.jsdelivr.net/sockjs/0.3.4/sockjs.min.js
updates_check=off
organization_name=
[handler]
push_in_spec=tcp://127.0.0.1:5560
push_in_sub_specs=tcp://127.0.0.1:5562
push_in_http_addr=127.0.0.1
push_in_http_port=5561
stats_spec=ipc://{rundir}/{ipc_prefix}stats
command_spec=tcp://127.0.0.1:5563
message_rate=2500
message_hwm=25000
#message_block_size=
message_wait=5000
id_cache_ttl=60
stats_format=tnetstring
"""
MINIMAL = "[runner]\nhttp_port=8000\n[proxy]\nroutesfile=routes\n"


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of its own: no file is found there that the test did not write."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gripproxy.config_file.SEARCH_PATHS", ("./config/gripproxy.conf", "./gripproxy.conf"))
    return tmp_path


def load(directory: Path, text: str, **overrides: Any) -> tuple[Settings, list[str]]:
    path = directory / "a.conf"
    path.write_text(text)
    settings, warnings = load_settings(str(path), dataclasses.replace(Overrides(), **overrides))
    return settings, [warning.replace(f"{directory}/", "") for warning in warnings]


def refusal(directory: Path, text: str, **overrides: Any) -> str:
    with pytest.raises(ConfigError) as error:
        load(directory, text, **overrides)
    return str(error.value).replace(f"{directory}/", "")


def test_pushpin_conf_loads_without_a_word(directory: Path) -> None:
    """Moving here takes no edit."""
    settings, warnings = load(directory, PUSHPIN_CONF)
    assert warnings == []
    assert settings == Settings(
        config_path=str(directory / "a.conf"),
        rundir="/var/run/pushpin",
        workers=cores_count(),
        routesfile=str(directory / "routes"),
        routes=(),
        sig_key="changeme",
        message_rate=2500,
        message_hwm=25_000,
        stats_spec="ipc:///var/run/pushpin/pushpin-stats",
    )


def test_file_of_debians_package_loads_without_a_word(tmp_path: Path) -> None:
    """The real one, with the real internal.conf included."""
    require("/etc/pushpin/pushpin.conf")
    text = Path("/etc/pushpin/pushpin.conf").read_text()
    assert "[global]\n" in text
    settings, warnings = load(tmp_path, text.replace("[global]\n", "[global]\nlibdir=/usr/lib/pushpin\n", 1))
    assert warnings == []
    assert settings.libdir == "/usr/lib/pushpin"


def test_eight_ports_and_a_million_connections(directory: Path) -> None:
    """The list that reaches past the 64k ports of one client address."""
    ports = ",".join(str(port) for port in range(8000, 8008))
    text = f"[runner]\nhttp_port={ports}\nclient_buffer_size=4096\nclient_maxconn=1001000\n[proxy]\nroutesfile=/r"
    settings, _ = load(directory, text)
    assert settings.http_port == tuple(ListenAddress(port=port) for port in range(8000, 8008))
    assert (settings.client_buffer_size, settings.client_maxconn) == (4096, 1_001_000)
    assert settings.routesfile == "/r"


def test_absent_keys_mean_what_they_mean_to_the_reference(directory: Path) -> None:
    """A file that lost its push_in_spec turned the socket off; no default may open it again."""
    settings, warnings = load(directory, MINIMAL)
    assert warnings == []
    assert settings == Settings(
        config_path=str(directory / "a.conf"),
        rundir=default_rundir(),
        http_port=(ListenAddress(port=8000),),
        workers=cores_count(),
        routesfile=str(directory / "routes"),
        routes=(),
        set_x_forwarded_protocol=ForwardedProtocol.OFF,
        push_in_spec=None,
        push_in_sub_specs=(),
        push_in_http_port=None,
        command_spec=None,
        id_cache_ttl=0,
    )


def test_without_a_file_the_defaults_of_settings_count(directory: Path) -> None:
    """Two places say what runs without a file: the table of keys and `Settings`."""
    settings, warnings = load_settings(None, Overrides())
    assert warnings == []
    rundir = default_rundir()
    assert settings == Settings(rundir=rundir, workers=cores_count(), stats_spec=f"ipc://{rundir}/pushpin-stats")


def test_file_in_the_working_directory_is_found(directory: Path) -> None:
    """./config comes first, then ./ itself."""
    (directory / "gripproxy.conf").write_text(MINIMAL)
    assert load_settings(None, Overrides())[0].http_port == (ListenAddress(port=8000),)
    (directory / "config").mkdir()
    (directory / "config" / "gripproxy.conf").write_text(MINIMAL.replace("8000", "8001"))
    settings, _ = load_settings(None, Overrides())
    assert settings.http_port == (ListenAddress(port=8001),)
    assert settings.config_path == str(directory / "config" / "gripproxy.conf")


def test_file_that_was_asked_for_must_be_there(directory: Path) -> None:
    """Running on defaults instead would open other ports than those asked for."""
    with pytest.raises(ConfigError) as error:
        load_settings("no.conf", Overrides())
    assert str(error.value) == f"failed to open config file: {directory}/no.conf (No such file or directory)"


def test_included_file_fills_in_what_the_main_file_lacks(directory: Path) -> None:
    """The main file wins key by key; complaints name the included file."""
    (directory / "more.conf").write_text("[runner]\nhttp_port=9000\nlog_level=3\nlog_levl=1\n")
    settings, warnings = load(directory, "[global]\ninclude=more.conf\n" + MINIMAL)
    assert (settings.http_port, settings.log_level) == ((ListenAddress(port=8000),), LogLevels.all(3))
    assert warnings == ["more.conf:4: unknown key log_levl in [runner]; the nearest known key is log_level"]


def test_missing_include_refuses_a_start(directory: Path) -> None:
    """Only the reference's internal.conf may be missing: nothing in it counts here."""
    assert refusal(directory, "[global]\ninclude=more.conf\n" + MINIMAL) == (
        "a.conf:2: include=more.conf: failed to open config file: more.conf (No such file or directory)"
    )
    load(directory, "[global]\ninclude=internal.conf\n" + MINIMAL)


@pytest.mark.parametrize("value", ["secret,1", '"secret', "base64:secret!"])
def test_bad_key_is_not_shown(directory: Path, value: str) -> None:
    """The line goes to terminals and logs that more people read than may know the key."""
    error = refusal(directory, MINIMAL + f"[proxy]\nsig_key={value}\n")
    assert error.startswith("a.conf:6: sig_key=...: ")
    assert "secret" not in error
    assert "sig_key=file:gone: " in refusal(directory, MINIMAL + "[proxy]\nsig_key=file:gone\n")
    error = refusal(directory, MINIMAL + f"[handler]\nzmq_curve_secret_key={value}\n")
    assert error.startswith("a.conf:6: zmq_curve_secret_key=...: ")
    assert "secret!" not in error


def test_keys_of_internal_conf_are_not_remarked(directory: Path) -> None:
    """They are the sockets between processes that are not here."""
    (directory / "internal.conf").write_text("[proxy]\nanything=1\nstats_spec=ipc://x\n")
    text = f"[global]\nlibdir={directory}\ninclude=internal.conf\n{MINIMAL}zurl_out_specs=ipc:///x\n"
    assert load(directory, text)[1] == []


def test_names_in_braces_and_the_offset_reach_every_value(directory: Path) -> None:
    """Also those of the directories themselves."""
    text = (
        "[global]\nlibdir=/lib\nrundir={libdir}/run\nipc_prefix=x-\nport_offset=100\n"
        + MINIMAL
        + "[handler]\npush_in_spec=ipc://{rundir}/{ipc_prefix}in\npush_in_sub_specs=tcp://h:1,tcp://h:2\n"
        + "push_in_http_port=5561\nprometheus_port=9000\n"
    )
    settings, _ = load(directory, text)
    assert (settings.rundir, settings.ipc_prefix, settings.port_offset) == ("/lib/run", "x-", 100)
    assert settings.push_in_spec == "ipc:///lib/run/x-in"
    assert settings.push_in_sub_specs == ("tcp://h:101", "tcp://h:102")
    assert (settings.push_in_http_port, settings.prometheus_port) == (5661, "9000")
    assert settings.http_port == (ListenAddress(port=8000),)


def test_relative_rundir_is_relative_to_the_working_directory(directory: Path) -> None:
    """Unlike routesfile, which is relative to the file; both as in the reference."""
    assert load(directory, MINIMAL + "[global]\nrundir=run")[0].rundir == str(directory / "run")


def test_both_places_of_workers_are_read(directory: Path) -> None:
    """[runner] is ours, [proxy] the reference's."""
    assert load(directory, MINIMAL + "workers=3")[0].workers == 3
    assert load(directory, MINIMAL + "workers=3\n[runner]\nworkers=5")[0].workers == 5
    assert load(directory, MINIMAL + "workers=3", workers=0)[0].workers == cores_count()


def test_both_names_of_sub_specs_are_merged(directory: Path) -> None:
    """As in the reference."""
    text = MINIMAL + "[handler]\npush_in_sub_spec=tcp://h:1\npush_in_sub_specs=tcp://h:2,tcp://h:1"
    assert load(directory, text)[0].push_in_sub_specs == ("tcp://h:2", "tcp://h:1")


def test_command_line_wins(directory: Path) -> None:
    """--port replaces all listeners, --route the file, --id prefix and offset."""
    text = PUSHPIN_CONF.replace("port_offset=0", "port_offset=7")
    settings, warnings = load(
        directory,
        text,
        port="127.0.0.1:80",
        routes=("* a:1", "b a:2"),
        workers=4,
        log_level=LogLevels.all(3),
        id=3,
        rundir="/r",
    )
    assert warnings == []
    assert settings.http_port == (ListenAddress(host="127.0.0.1", port=80),)
    assert (settings.routesfile, settings.routes) == (None, ("* a:1", "b a:2"))
    assert (settings.workers, settings.log_level, settings.rundir) == (4, LogLevels.all(3), "/r")
    assert (settings.ipc_prefix, settings.port_offset, settings.push_in_http_port) == ("p3-", 30, 5591)


def test_id_shifts_the_defaults_too(directory: Path) -> None:
    """Two instances without any file can run side by side."""
    settings, _ = load_settings(None, Overrides(id=1))
    assert (settings.push_in_spec, settings.push_in_http_port) == ("tcp://127.0.0.1:5570", 5571)
    assert settings.ipc_path("bus").endswith("/p1-bus")


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        ({"port": "0"}, "--port 0: port must be greater than or equal to 1"),
        ({"port": "127.0.0.1:-5"}, "--port 127.0.0.1:-5: port must be greater than or equal to 1"),
        ({"id": -1}, "id must be greater than or equal to 0 and at most 6000, not -1"),
        ({"workers": -1}, "workers must be from 0 to 512, not -1"),
        ({"routes": ("*,path_beg=/\udcff a:1",)}, r"--route is not UTF-8: b'*,path_beg=/\xff a:1'"),
        ({"id": 6000}, "push_in_http_port=5561: with the port offset 60000 the port is 65561, over 65535"),
    ],
)
def test_bad_command_line_is_refused(directory: Path, overrides: dict[str, Any], text: str) -> None:
    """It never gets to a bind that fails."""
    assert text in refusal(directory, PUSHPIN_CONF, **overrides)


def test_bad_value_names_file_line_key_and_value(directory: Path) -> None:
    """What to look for and where."""
    assert refusal(directory, MINIMAL + "[runner]\nclient_maxconn=5O000") == (
        "a.conf:6: client_maxconn=5O000: must be a whole number from 1 to 100000000 (connections)"
    )


def test_all_bad_values_are_named_at_once(directory: Path) -> None:
    """One start shows every mistake, in the file's order."""
    text = "[global]\nport_offset=x\n[runner]\nclient_buffer_size=1\nhttp_port=1,x\n"
    assert [line.partition(":")[2].partition(":")[0] for line in refusal(directory, text).split("\n")] == [
        "2",
        "4",
        "5",
    ]


def test_value_of_an_unused_key_is_never_bad(directory: Path) -> None:
    """Nothing depends on it."""
    assert load(directory, MINIMAL + 'organization_name=Foo, Bar "x\nupdates_check=\\q')[1] == []


@pytest.mark.parametrize("line", ["", "http_port=", "http_port=,"])
def test_no_listener_refuses_a_start(directory: Path, line: str) -> None:
    """In the reference's words."""
    text = f"[runner]\n{line}\n[proxy]\nroutesfile=r\n"
    assert refusal(directory, text).startswith("a.conf: no server ports configured; set http_port, https_ports or ")


@pytest.mark.parametrize("lines", ["https_ports=8000", "local_ports=/x,/x?mode=600", "http_port=1?maxconn=2,1"])
def test_listener_that_is_listed_twice_refuses_a_start(directory: Path, lines: str) -> None:
    """The kernel would give half of its clients to each, as TLS and as plain HTTP."""
    text = f"[runner]\nhttp_port=8000\n{lines}\n[proxy]\nroutesfile=r\n"
    if lines.startswith("http_port"):
        text = text.replace("http_port=8000\n", "", 1)
    assert "is listed twice" in refusal(directory, text)


@pytest.mark.parametrize("key", ["https_ports=8000", "local_ports=/x"])
def test_any_kind_of_listener_is_enough(directory: Path, key: str) -> None:
    """A web server in front may need the unix socket only."""
    settings, _ = load(directory, f"[runner]\n{key}\n[proxy]\nroutesfile=r\n")
    assert settings.http_port == () and len(settings.listeners) == 1


def test_port_of_the_command_line_replaces_every_listener(directory: Path) -> None:
    """As in Pushpin: a second instance from the same file gets in nobody's way."""
    text = "[runner]\nhttp_port=8000\nhttps_ports=8001\nlocal_ports=/x\n[proxy]\nroutesfile=r\n"
    settings, _ = load(directory, text, port="8002")
    assert settings.listeners == (ListenAddress(port=8002),)


def test_fewer_connections_than_workers_refuse_a_start(directory: Path) -> None:
    """A worker without any connection could not serve what the kernel gives it."""
    assert refusal(directory, MINIMAL + "[runner]\nclient_maxconn=3\nworkers=4") == (
        "a.conf: client_maxconn=3 is less than the number of workers, 4"
    )


def test_run_directory_too_long_for_a_socket_refuses_a_start(directory: Path) -> None:
    """bind would fail in a worker, with a text that names no file."""
    text = refusal(directory, MINIMAL, rundir="/" + "r" * 90)
    assert text.startswith("a.conf: rundir=/rrrr")
    assert text.endswith("116 bytes, and a unix socket's path has at most 107: choose a shorter rundir")


def test_file_without_routes_says_so(directory: Path) -> None:
    """Every request would get a 502; the built-in test route is only for a start without any file."""
    settings, warnings = load(directory, "[runner]\nhttp_port=1\n")
    assert (settings.routesfile, settings.routes) == (None, ())
    assert warnings == ["a.conf: no routesfile in [proxy]: every request gets a 502"]


@pytest.mark.parametrize(
    ("lines", "remark"),
    [
        ("client_maxcon=1", "unknown key client_maxcon in [proxy]; the nearest known key is client_maxconn"),
        ("routes_file=1", "unknown key routes_file in [proxy]; the nearest known key is routesfile"),
        ("http_port=80", "unknown key http_port in [proxy]: it belongs to [runner]"),
        ("qqqqqq=1", "unknown key qqqqqq in [proxy]"),
        ("sockjs_url=k", "sockjs_url is not supported by this version and has no effect"),
        ("log_from=no", "log_from=no means true, as in Pushpin: only false, 0 and nothing are false"),
        ("debug=no ; for now", "debug=no means true, as in Pushpin: only false, 0 and nothing are false"),
        ("debug=no", "debug=no means true, as in Pushpin: only false, 0 and nothing are false"),
    ],
)
def test_key_without_the_effect_it_seems_to_have_is_remarked(directory: Path, lines: str, remark: str) -> None:
    """The start goes on: the file may be older or newer than this version."""
    assert load(directory, MINIMAL + lines)[1] == [f"a.conf:5: {remark}"]


def test_unknown_section_is_remarked_once(directory: Path) -> None:
    """One letter, and none of its settings counts: the keys in it are all right."""
    text = "debug=true\n" + MINIMAL + "[proxi]\ndebug=true\nlog_from=true\n[mine]\nx=1\n"
    assert load(directory, text)[1] == [
        "a.conf:1: before any [section]: without effect: debug",
        "a.conf:7: unknown section [proxi]: without effect: debug, log_from; the nearest known section is [proxy]",
        "a.conf:10: unknown section [mine]: without effect: x",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "[proxy]\nsockjs_url=http://cdn.jsdelivr.net/sockjs/0.3.4/sockjs.min.js",
        "[handler]\nstate_spec=",
        "[handler]\nstate_spec=  ; none",
        "[runner]\nallow_compression=false ; costs CPU",
        '[handler]\nshare_all="false" ; as shipped',
    ],
)
def test_unsupported_key_that_asks_for_nothing_is_quiet(directory: Path, line: str) -> None:
    """Shipped files hold most keys with their defaults."""
    assert load(directory, MINIMAL + line)[1] == []


def test_unsupported_key_that_asks_for_something_is_not(directory: Path) -> None:
    """A limit that does not limit must not look as if it did."""
    assert load(directory, MINIMAL + "[handler]\nshare_all=true")[1] == [
        "a.conf:6: share_all is not supported by this version and has no effect"
    ]


def test_deprecated_rundir_still_counts(directory: Path) -> None:
    """Old files have it in [runner]."""
    settings, warnings = load(directory, MINIMAL + "[runner]\nrundir=/r")
    assert settings.rundir == "/r"
    assert warnings == ["a.conf:6: rundir in [runner] is deprecated: move it to [global]"]


def test_comment_in_another_encoding_does_no_harm(directory: Path) -> None:
    """Old files are in Latin-1."""
    (directory / "a.conf").write_bytes(b"# caf\xe9\n" + MINIMAL.encode())
    assert load_settings("a.conf", Overrides())[1] == []


def test_report_keeps_warnings_beside_errors(directory: Path) -> None:
    """`gripproxy check` shows all there is to say."""
    (directory / "a.conf").write_text("[runner]\nhttp_port=x\nlog_levl=1\n[proxy]\nroutesfile=r")
    report = read_config("a.conf", Overrides())
    assert report.settings is None
    assert (len(report.errors), len(report.warnings)) == (1, 1)


@pytest.mark.parametrize(
    ("user", "runtime", "path"),
    [
        (0, "/run/user/0", "/run/gripproxy"),
        (7, "/run/user/7", "/run/user/7/gripproxy"),
        (7, None, "/tmp/gripproxy-7"),
    ],
)
def test_default_run_directory_is_one_that_the_user_can_make(
    monkeypatch: pytest.MonkeyPatch, user: int, runtime: str | None, path: str
) -> None:
    """A first start needs no root and no file."""
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    if runtime is not None:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    assert default_rundir() == path


def test_device_without_an_end_is_refused(directory: Path) -> None:
    """It would fill the memory."""
    with pytest.raises(ConfigError, match=r"failed to read config file: /dev/zero \(more than 1048576 bytes\)"):
        load_settings("/dev/zero", Overrides())
