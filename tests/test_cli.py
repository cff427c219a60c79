"""The command line's own part: which command runs, and which options are refused how."""

import subprocess
import sys

import pytest

from gripproxy import __version__
from gripproxy.cli import COMMANDS, main, new_parser


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
        (["publsh"], "unrecognized arguments: publsh"),
    ],
)
def test_bad_option_is_refused_in_words(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A typing mistake must not look like a crash."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("text", "level"), [("0", 0), ("3", 3), ("1,proxy:3", 1), ("proxy:3,handler:0", 2), ("7", 7)])
def test_loglevel_takes_the_references_lists(text: str, level: int) -> None:
    """Unit files that carry such a list keep working."""
    assert new_parser().parse_args(["--loglevel", text]).loglevel == level


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
