"""`gripproxy check`: exit status for scripts, file and line for people."""

import dataclasses
import os
from pathlib import Path

import pytest

from gripproxy.check_command import main
from gripproxy.config_file import Overrides, read_config
from gripproxy.kept_settings import keep_settings

ROOT = Path(__file__).parent.parent


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "a.conf"
    path.write_text("[runner]\nhttp_port=8000,[::1]:8001\nclient_maxconn=2000\n[proxy]\nroutesfile=routes\n")
    (tmp_path / "routes").write_text("* a:1,ssl,over_http b:2\nh,proto=ws,ssl=no,path_beg=/x,id=i test\n")
    return path


def test_sound_files_print_what_would_listen_and_the_routes(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One look shows whether it is what was meant."""
    assert main(["--config", str(config)]) == 0
    output, errors = capsys.readouterr()
    lines = output.splitlines()
    assert errors == ""
    assert f"using config: {config}" in lines
    assert "clients: http://0.0.0.0:8000" in lines
    assert "clients: http://[::1]:8001" in lines
    assert lines[-3:] == [
        "  * -> a:1,ssl,over_http b:2",
        "  h,proto=ws,ssl=no,path_beg=/x,id=i -> test",
        "errors: 0, warnings: 0",
    ]


def test_bad_values_and_warnings_are_all_named(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A script gets 1, a person every place to mend."""
    config.write_text("[runner]\nhttp_port=x\nclient_maxconn=0\nlog_levl=1\n[proxy]\nroutesfile=routes\n")
    assert main(["--config", str(config)]) == 1
    output, errors = capsys.readouterr()
    assert [line.partition("=")[0] for line in errors.splitlines()] == [
        f"warning: {config}:4: unknown key log_levl in [runner]; the nearest known key is log_level",
        f"error: {config}:2: http_port",
        f"error: {config}:3: client_maxconn",
    ]
    assert output == "errors: 2, warnings: 1\n"


def test_what_a_start_would_warn_of_is_a_warning(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too few descriptors for what was configured show under load only, when it is too late."""
    monkeypatch.setattr("gripproxy.check_command.raise_fd_limit", lambda: 1000)
    assert main(["--config", str(config), "--workers", "2"]) == 0
    output, errors = capsys.readouterr()
    assert errors.startswith("warning: client_maxconn=2000 cannot be reached, only 1000: raise the fd limit")
    assert output.endswith("errors: 0, warnings: 1\n")


def test_tls_port_that_nobody_can_use_is_a_warning(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Certificates are files that a deployment forgets."""
    config.write_text(config.read_text() + "[runner]\nhttps_ports=8443\n")
    assert main(["--config", str(config)]) == 0
    directory = config.parent / "runner" / "certs"
    assert f"warning: no certificates in {directory}: nobody can connect by https\n" in capsys.readouterr().err
    directory.mkdir(parents=True)
    (directory / "d.test.crt").touch()
    assert main(["--config", str(config)]) == 0
    assert f"warning: certificate not used: {directory}/d.test.key: No such file" in capsys.readouterr().err


def test_line_that_is_no_route_is_an_error(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A start would only warn; who runs the check wants to know before."""
    (config.parent / "routes").write_text("* a:1\nh a\n")
    assert main(["--config", str(config)]) == 1
    errors = capsys.readouterr().err
    assert f"warning: {config.parent}/routes:2: target bad format: 'a' is not HOST:PORT\n" in errors
    assert "error: refused lines of the routes: 1, see the warnings\n" in errors


def test_missing_routes_file_is_an_error(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every request would get a 502."""
    (config.parent / "routes").unlink()
    assert main(["--config", str(config)]) == 1
    assert "unable to open routes file" in capsys.readouterr().err


@pytest.mark.parametrize("line", ["", "# nothing yet"])
def test_no_route_at_all_is_an_error(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The same 502 for all, though no line is wrong."""
    assert main(["--route", line]) == 1
    assert "error: there is no route\n" in capsys.readouterr().err


def test_unusable_signing_key_is_an_error(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A start would refuse the file's; a route's only costs that route its signature."""
    (config.parent / "key").write_text("no hex")
    (config.parent / "routes").write_text("*,sig_iss=i,sig_key=file:key a:1\n")
    assert main(["--config", str(config)]) == 0
    assert "warning: route *,*,*,*: " in capsys.readouterr().err
    config.write_text(config.read_text() + "sig_key=file:key\n")
    assert main(["--config", str(config)]) == 1
    assert f"error: {config.parent}/key: sig_key: key file holds neither PEM nor hex" in capsys.readouterr().err


def test_unusable_keys_are_errors(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A start would be refused; both are named at once. An upstream_key that is empty is none."""
    (config.parent / "key").write_text("no hex")
    (config.parent / "empty").write_text("")
    config.write_text(config.read_text() + "[proxy]\nsig_key=file:key\nupstream_key=file:empty\n")
    assert main(["--config", str(config)]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert errors == [
        f"error: {config.parent}/key: sig_key: key file holds neither PEM nor hex digits",
        f"error: {config.parent}/empty: upstream_key: key is empty",
    ]
    config.write_text(config.read_text().replace("file:key", "k").replace("file:empty", ""))
    assert main(["--config", str(config)]) == 0


def test_remark_alone_is_no_error(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An unsupported property is no reason to stop a deployment."""
    (config.parent / "routes").write_text("*,session a:1\n")
    assert main(["--config", str(config)]) == 0
    assert "routes:1: session is not supported by this version" in capsys.readouterr().err


def test_options_of_a_start_count_here_too(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is checked is what would be started."""
    options = ["--config", str(config), "--port", "9000", "--route", "* c:3", "--workers", "3", "--id", "2"]
    assert main(options) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("clients")] == ["clients: http://0.0.0.0:9000"]
    assert "workers: 3" in lines
    assert "  * -> c:3" in lines


def test_run_directory_of_the_command_line_counts(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The paths of sockets in it may be too long."""
    assert main(["--config", str(config), "--rundir", f"/tmp/{'x' * 100}"]) == 1
    assert "choose a shorter rundir" in capsys.readouterr().err
    config.write_text(f"[global]\nrundir=/tmp/{'x' * 100}\n{config.read_text()}")
    assert main(["--config", str(config)]) == 1
    assert main(["--config", str(config), "--rundir", "/tmp/x"]) == 0


def test_example_files_are_sound(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """They are what users start from. How many descriptors this machine gives is not theirs to know."""
    monkeypatch.setattr("gripproxy.check_command.raise_fd_limit", lambda: 1_000_000)
    assert main(["--config", str(ROOT / "deploy" / "gripproxy.conf")]) == 0
    output, errors = capsys.readouterr()
    assert errors == ""
    assert "  * -> test" in output.splitlines()


def test_running_instance_is_compared(config: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Before a reload one sees what it would do."""
    arguments = ["--config", str(config), "--rundir", str(tmp_path)]
    report = read_config(str(config), Overrides(rundir=str(tmp_path)))
    assert report.settings is not None
    for changes, lines in (
        ({}, [f"process {os.getpid()} runs with this; a reload would change: no setting"]),
        (
            {"debug": True, "workers": 77},
            [
                f"process {os.getpid()} runs with this; a reload would change: debug (true -> false)",
                f"only a restart or `gripproxy upgrade` would change: workers (77 -> {report.settings.workers})",
            ],
        ),
        ({"config_path": "/another"}, []),
    ):
        keep_settings(dataclasses.replace(report.settings, **changes))  # type: ignore[arg-type]
        assert main(arguments) == 0
        output = capsys.readouterr().out.splitlines()
        assert [line for line in output if "would change" in line] == lines
