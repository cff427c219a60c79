"""The state file, as another version may have written it."""

import json
from pathlib import Path

import pytest

from gripproxy.upgrade_state import UpgradeState, read_state, remove_state, write_state

STATE = UpgradeState(pid=7, version="1.0", handover_version=1, steps=["a"], outcome=True)


def test_state_comes_back_and_leaves_no_draft(tmp_path: Path) -> None:
    """It is replaced as a whole."""
    path = str(tmp_path / "state")
    write_state(path, STATE)
    write_state(path, STATE)
    assert read_state(path) == STATE
    assert [each.name for each in tmp_path.iterdir()] == ["state"]
    remove_state(path)
    remove_state(path)
    assert read_state(path) is None


def test_fields_of_a_later_version_mean_nothing(tmp_path: Path) -> None:
    """An older command may ask a newer instance."""
    (tmp_path / "state").write_text(json.dumps({"pid": 7, "version": "9", "handover_version": 2, "mood": "good"}))
    state = read_state(str(tmp_path / "state"))
    assert state == UpgradeState(pid=7, version="9", handover_version=2)


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"pid": 7}'])
def test_garbage_is_no_state(tmp_path: Path, text: str) -> None:
    """A full disk leaves anything."""
    (tmp_path / "state").write_text(text)
    assert read_state(str(tmp_path / "state")) is None


def test_directory_that_is_gone_is_no_error(tmp_path: Path) -> None:
    """The supervisor has better things to do."""
    write_state(str(tmp_path / "gone" / "state"), STATE)
