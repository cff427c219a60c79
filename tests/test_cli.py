"""The command line's own part: which command runs, and which options are refused how."""

import subprocess
import sys
from pathlib import Path

import pytest

from gripproxy import __version__
from gripproxy.cli import COMMANDS, _report_start, main, new_parser
from gripproxy.errors import ConfigError
from gripproxy.log_levels import LogLevels
from gripproxy.settings import Settings
from gripproxy_worker.certificates import CertificateStore


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "0"], "--workers: the number of workers must be greater than or equal to 1, not 0"),
        (["--workers", "many"], "the number of workers is not a whole number: 'many'"),
        (["--id", "-1"], "id must be greater than or equal to 0, not -1"),
        (["--loglevel", ""], "log level component cannot be empty"),
        (["--loglevel", "2,:3"], "log level component name cannot be empty"),
        (["--loglevel", "2,proxy:-1"], "log level for service proxy must be greater than or equal to 0"),
        (["--loglevel=-1"], "log level must be greater than or equal to 0"),
        (["--colour"], "unrecognized arguments: --colour"),
        (["publsh"], "there is no command publsh; meant publish? Commands: check, demo, "),
        (["frob"], "there is no command frob. Commands: check, demo, "),
    ],
)
def test_bad_option_is_refused_in_words(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A typing mistake must not look like a crash."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 1
    assert message in capsys.readouterr().err


def test_loglevel_takes_the_references_lists() -> None:
    """Unit files that carry such a list keep working."""
    levels = new_parser().parse_args(["--loglevel", "1,proxy:3"]).loglevel
    assert levels == LogLevels(supervisor=1, worker=3, hub=1)


@pytest.mark.parametrize("option", ["-config", "--config"])
@pytest.mark.parametrize("is_apart", [True, False])
def test_one_dash_will_do(option: str, is_apart: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """Pushpin's own unit files and scripts may have them so."""
    arguments = [option, "/none"] if is_apart else [f"{option}=/none"]
    assert main(["-merge-output", *arguments]) == 1
    assert "error: failed to open config file: /none" in capsys.readouterr().err


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Bug reports start with it."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"gripproxy {__version__}\n"


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """A command that is not in the help does not exist for its users."""
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert all(f"gripproxy {command} " in text for command in COMMANDS)


def test_command_line_loads_nothing_that_only_the_proxy_needs() -> None:
    """`gripproxy publish` is run once per item by shell scripts."""
    code = "import sys, gripproxy.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"zmq", "uvloop", "asyncio", "httptools", "gripproxy.supervisor.supervisor"}.isdisjoint(loaded)


def test_start_warns_of_a_route_whose_key_is_unusable(caplog: pytest.LogCaptureFixture) -> None:
    """Its requests go unsigned from the first one on; nobody runs `gripproxy check` to find out."""
    _report_start(Settings(routes=("*,id=api,sig_key=base64:! localhost:80",)), [], CertificateStore(""))
    assert "route api: sig_key: key is not valid base64 behind base64:; its requests go without Grip-Sig" in caplog.text


def test_start_refuses_a_key_of_the_settings_that_is_gone(tmp_path: Path) -> None:
    """Before anything is forked, so that it is said once and not by every worker."""
    with pytest.raises(ConfigError, match="cannot read the key file"):
        _report_start(Settings(sig_key=f"file:{tmp_path}/none"), [], CertificateStore(""))
