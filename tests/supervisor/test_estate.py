"""What is whose."""

from pathlib import Path

from gripproxy.settings import Settings
from gripproxy.supervisor.estate import Estate
from gripproxy.supervisor.run_directory import InstanceLock


class Files:
    """Something that the command line hands in."""

    def __init__(self) -> None:
        self.is_ours = True

    def own(self) -> None:
        self.is_ours = True

    def disown(self) -> None:
        self.is_ours = False


def test_one_version_after_the_other_owns_the_files(tmp_path: Path) -> None:
    """Two that remove them are one too many, and none is one too few."""
    settings = Settings(rundir=str(tmp_path))
    lock = InstanceLock(settings)
    lock.acquire()
    estate = Estate(program=[], lock=lock, shared=Files())
    estate.disown()
    assert isinstance(estate.shared, Files) and not estate.shared.is_ours
    estate.own()
    assert estate.shared.is_ours
    estate.disown()
    lock.close()
    assert Path(lock.path).exists()
