"""What the state file says through an upgrade."""

from pathlib import Path

from gripproxy.settings import Settings
from gripproxy.supervisor.record import Record
from gripproxy.upgrade_state import UpgradeState, read_state, state_path


def kept(settings: Settings) -> UpgradeState | None:
    return read_state(state_path(settings))


def test_file_is_written_by_its_owner_only(tmp_path: Path) -> None:
    """A new version that fails must leave no trace in it."""
    settings = Settings(rundir=str(tmp_path))
    new = Record(settings)
    new.note_elder(7, 3)
    assert kept(settings) is None
    old = Record(settings)
    old.own()
    assert kept(settings) == old.state
    new.close()
    assert kept(settings) == old.state
    old.close()
    assert kept(settings) is None


def test_record_of_an_upgrade_goes_on_in_the_new_version(tmp_path: Path) -> None:
    """Its last line is the new one's to write: then whoever reads it finds the new process."""
    settings = Settings(rundir=str(tmp_path))
    old, new = Record(settings), Record(settings)
    old.own()
    old.begin()
    old.note("starting", None)
    assert (state := kept(settings)) is not None
    assert (state.requests_count, state.steps, state.outcome) == (1, ["starting"], None)
    old.note("done", True)
    assert (state := kept(settings)) is not None and state.outcome is None
    new.state.requests_count = old.state.requests_count
    new.succeed(old.state.steps, 77)
    new.note_elder(77, 5)
    old.close()
    assert (state := kept(settings)) is not None
    assert (state.requests_count, state.steps, state.outcome) == (1, ["starting", "done"], True)
    assert (state.elder_pid, state.elder_clients) == (77, 5)


def test_failure_is_kept_until_the_next_request(tmp_path: Path) -> None:
    """Whoever comes late still sees it."""
    settings = Settings(rundir=str(tmp_path))
    record = Record(settings)
    record.own()
    record.begin()
    record.note("broken", False)
    assert (state := kept(settings)) is not None and state.outcome is False
    record.begin()
    assert (state := kept(settings)) is not None
    assert (state.outcome, state.steps, state.requests_count) == (None, [], 2)
