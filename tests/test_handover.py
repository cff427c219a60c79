"""Which old process hands over to which new one, and where."""

import pytest

from gripproxy.handover import HUB, handover_path, new_takeover
from gripproxy.settings import SOCKET_NAME_MAX_BYTES, WORKERS_MAX_COUNT, Settings


@pytest.mark.parametrize(("generation", "seats"), [(1, (0, 1, 2)), (2, (512, 513, 514))])
def test_new_side_names_what_the_old_side_opens(generation: int, seats: tuple[int, ...]) -> None:
    """Each works the names out for itself."""
    old = Settings(rundir="/run/g", generation=generation - 1)
    takeover = new_takeover(Settings(rundir="/run/g", generation=generation), 3)
    assert takeover.generation == generation - 1
    assert takeover.hub_path == handover_path(old, HUB)
    assert tuple(worker.seat for worker in takeover.workers) == seats
    assert [worker.path for worker in takeover.workers] == [
        handover_path(old, old.seat_of(index)) for index in range(3)
    ]


@pytest.mark.parametrize("new_count", [1, 2, 3, 5])
def test_every_old_worker_falls_to_one_new_one(new_count: int) -> None:
    """The new version may have more workers or fewer."""
    takeover = new_takeover(Settings(generation=1), 3)
    shares = [takeover.workers_of(index, new_count) for index in range(new_count)]
    assert sorted(worker.seat for share in shares for worker in share) == [0, 1, 2]


def test_path_fits_wherever_a_run_directory_does() -> None:
    """The length of the run directory is checked with this much room for names."""
    settings = Settings(rundir="", ipc_prefix="", generation=1)
    assert len(handover_path(settings, 2 * WORKERS_MAX_COUNT - 1)) - 1 <= SOCKET_NAME_MAX_BYTES
