"""`gripproxy top` on a terminal and without one, against a control port that answers what a test says."""

import json
import signal
import sys
from collections.abc import Iterator

import pytest

from gripproxy.top_command import main
from tests.control_site import ControlSite, stats_answer
from tests.integration.ports import free_ports
from tests.integration.server import source_env
from tests.terminal import Terminal

ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"


@pytest.fixture
def site() -> Iterator[ControlSite]:
    with ControlSite({"/stats": stats_answer()}) as running:
        yield running


def top(site: ControlSite, *arguments: str, columns: int = 120) -> Terminal:
    code = "import sys; from gripproxy.top_command import main; sys.exit(main(sys.argv[1:]))"
    argv = [sys.executable, "-c", code, "--url", site.url, "--interval", "0.2", *arguments]
    return Terminal(argv, source_env(), columns=columns)


def test_screen_is_drawn_again_and_again_until_q(site: ControlSite) -> None:
    """And the terminal is left as it was, with its cursor."""
    with top(site) as terminal:
        terminal.wait_for(b"news")
        assert terminal.modes() != terminal.modes_before
        site.answers["/stats"] = stats_answer("sport")
        terminal.wait_for(b"sport")
        terminal.press(b"q")
        assert terminal.wait() == 0
        assert terminal.output.endswith(b"\x1b[?25h" + LEAVE)
        assert terminal.modes() == terminal.modes_before


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 0)])
def test_signal_leaves_the_terminal_as_it_was(site: ControlSite, number: signal.Signals, status: int) -> None:
    """A shell without echo is what people remember of a program."""
    with top(site) as terminal:
        terminal.wait_for(b"news")
        terminal.popen.send_signal(number)
        assert terminal.wait() == status
        assert terminal.output.endswith(LEAVE)
        assert terminal.modes() == terminal.modes_before


def test_new_size_is_used_at_once(site: ControlSite) -> None:
    """Not at the next look, which may be a minute away."""
    with top(site, "--interval", "3600") as terminal:
        terminal.wait_for(b"busiest channels")
        terminal.resize(4, 40)
        terminal.tell_resized()
        terminal.wait_for(b"requests/s")
        terminal.press(b"q")
        assert terminal.wait() == 0
        assert len(site.requests) == 1


def test_proxy_that_goes_away_is_waited_for() -> None:
    """Somebody looks because it is restarted; the last figures stay in sight."""
    with ControlSite({"/stats": stats_answer()}) as site, top(site) as terminal:
        terminal.wait_for(b"news")
        site.__exit__(None, None, None)
        terminal.wait_for(b"NOT NOW: 127.0.0.1:")
        with ControlSite({"/stats": stats_answer("back")}, site.port):
            terminal.wait_for(b"back")
            terminal.press(b"q")
            assert terminal.wait() == 0


def test_without_a_terminal_one_frame_is_printed(site: ControlSite, capsys: pytest.CaptureFixture[str]) -> None:
    """Plain text without escape sequences, for a mail or a bug report."""
    assert main(["--url", site.url]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("gripproxy 1.2.3 ")
    assert "\x1b" not in shown
    assert shown.splitlines()[-1].split() == ["4", "12.5", "50.0", "news"]


def test_json_is_the_whole_document(site: ControlSite, capsys: pytest.CaptureFixture[str]) -> None:
    """For scripts; --channels goes to the proxy."""
    assert main(["--url", site.url, "--once", "--json", "--channels", "3"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(stats_answer()[1])
    assert [target for target, _ in site.requests] == ["/stats?channels=3"]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ((404, b"Not Found\n"), "is this the control port of gripproxy?"),
        ((200, b"{}"), "is it another version of gripproxy?"),
        ((200, b"[]"), "answers no figures"),
    ],
)
def test_what_cannot_be_shown_is_an_error(
    site: ControlSite, answer: tuple[int, bytes], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one sentence, with status 1."""
    site.answers["/stats"] = answer
    assert main(["--url", site.url, "--once"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("gripproxy top: error: ")
    assert text in error


def test_nobody_there_is_an_error_also_on_a_terminal() -> None:
    """Before the screen is taken for good: the sentence must stay to be read."""
    (port,) = free_ports(1)
    site = ControlSite({})
    site.url = f"http://127.0.0.1:{port}"
    with top(site) as terminal:
        assert terminal.wait() == 1
        assert terminal.output.rfind(b"is gripproxy running") > terminal.output.rfind(LEAVE)
