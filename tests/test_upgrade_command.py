"""The command with an instance that is a file and a process. With real ones: integration/test_upgrade_process.py."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gripproxy import upgrade_command
from gripproxy.handover import HANDOVER_VERSION
from gripproxy.upgrade_command import FAILED_STATUS, NOT_RUNNING_STATUS, TOO_OLD_STATUS
from gripproxy.upgrade_state import UpgradeState, write_state

Run = Callable[..., int]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Give a function that runs the command for an instance that is this process, with such a state."""
    (tmp_path / "g.conf").write_text(f"[global]\nrundir={tmp_path}\n[runner]\nhttp_port=7999\n")
    (tmp_path / "pushpin-gripproxy.pid").write_text(f"{os.getpid()}\n")
    monkeypatch.setattr(upgrade_command, "ANSWER_MAX_S", 0.1)

    def run_command(state: UpgradeState | None, on_signal: Callable[[], None] = lambda: None) -> int:
        if state is not None:
            write_state(str(tmp_path / "pushpin-gripproxy.state"), state)
        monkeypatch.setattr(os, "kill", lambda _pid, _number: on_signal())
        return upgrade_command.main(["--config", str(tmp_path / "g.conf"), "--timeout", "5"])

    return run_command


def new_state(**values: object) -> UpgradeState:
    fields = {"pid": os.getpid(), "version": "1.0", "handover_version": HANDOVER_VERSION, **values}
    return UpgradeState(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "status", "error"),
    [
        (None, TOO_OLD_STATUS, "is of a version that cannot hand over; restart it"),
        (new_state(pid=1), TOO_OLD_STATUS, "is of a version that cannot hand over; restart it"),
        (new_state(handover_version=99), TOO_OLD_STATUS, "(version 1.0) and version"),
        (new_state(requests_count=1), FAILED_STATUS, "is under way already"),
        (new_state(), FAILED_STATUS, "does not answer"),
    ],
)
def test_no_upgrade(
    run: Run, capsys: pytest.CaptureFixture[str], state: UpgradeState | None, status: int, error: str
) -> None:
    """Each has its status: a package's script restarts what cannot be upgraded, and leaves alone what has refused."""
    assert run(state) == status
    assert error in capsys.readouterr().err


def test_failure_of_an_earlier_upgrade_is_not_this_ones(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """The file still tells of it when the command comes."""
    before = new_state(requests_count=1, steps=["old story"], outcome=False)
    assert run(before) == FAILED_STATUS
    assert "old story" not in capsys.readouterr().err


def test_failure_is_told_once_with_what_serves_on(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The last step is the reason."""
    after = new_state(requests_count=1, steps=["starting", "broken"], outcome=False)
    path = str(tmp_path / "pushpin-gripproxy.state")
    assert run(new_state(), on_signal=lambda: write_state(path, after)) == FAILED_STATUS
    output = capsys.readouterr()
    assert output.out == "starting\n"
    assert output.err == f"gripproxy upgrade: error: broken; process {os.getpid()} (version 1.0) serves on\n"


def test_end_of_the_old_supervisor_is_awaited(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new one knows a moment before it, and a script may start something that the old one's end would disturb."""
    after = new_state(pid=1, requests_count=1, steps=["starting"], outcome=True, elder_pid=None)
    path = str(tmp_path / "pushpin-gripproxy.state")
    answers = [True, True, False]
    monkeypatch.setattr(upgrade_command, "is_alive", lambda _pid: answers.pop(0))
    assert run(new_state(), on_signal=lambda: write_state(path, after)) == 0
    assert answers == []


def test_bad_configuration_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The new version would say the same."""
    (tmp_path / "g.conf").write_text("[runner]\nhttp_port=many\n")
    assert upgrade_command.main(["--config", str(tmp_path / "g.conf")]) == FAILED_STATUS
    assert "g.conf:2" in capsys.readouterr().err


def test_file_that_cannot_be_read_is_no_absence(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is the service's user's, and there may be an instance: a script must not start another."""
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    assert run(new_state()) == FAILED_STATUS
    assert "pushpin-gripproxy.pid: run this as root or as the user of the instance" in capsys.readouterr().err


def test_nothing_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A script starts it then."""
    (tmp_path / "g.conf").write_text(f"[global]\nrundir={tmp_path}\n[runner]\nhttp_port=7999\n")
    options = ["--config", str(tmp_path / "g.conf")]
    assert upgrade_command.main(options) == NOT_RUNNING_STATUS
    assert "no instance runs here" in capsys.readouterr().err


@pytest.mark.parametrize(("staying_s", "is_said"), [(0.0, True), (float("inf"), False)])
def test_clients_on_their_way_are_not_said_to_be_left(
    staying_s: float,
    is_said: bool,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is counted in the moment of the take-over goes over a moment later."""
    path = str(tmp_path / "pushpin-gripproxy.state")
    values = {"pid": os.getppid(), "requests_count": 1, "outcome": True}
    staying = new_state(**values, elder_pid=os.getpid(), elder_clients=5)
    monkeypatch.setattr(upgrade_command, "STAYING_S", staying_s)
    answers = iter([True, True, False])
    monkeypatch.setattr(upgrade_command, "is_alive", lambda _pid: next(answers))
    assert run(new_state(), on_signal=lambda: write_state(path, staying)) == 0
    assert ("5 clients are still with the old processes; they have 10 s" in capsys.readouterr().out) is is_said
