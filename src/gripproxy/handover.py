"""What the processes of two generations agree on, so that a new version takes over from the old one.

The old supervisor starts the new one's program; the new children start beside the old ones, join their own hub and
accept nobody. Then the old children are sent `LISTEN_SIGNAL` and open the hand-over sockets that `handover_path`
names; the new children, sent the same signal, connect there.
"""

import dataclasses
import signal
from dataclasses import dataclass

from gripproxy.settings import Settings

# Of all that two generations say to each other; raised when an older one would misunderstand. Others never mix: the
# upgrade is refused, and the old version goes on.
HANDOVER_VERSION = 1

UPGRADE_SIGNAL = signal.SIGUSR2  # to a supervisor: start the program that is on disk now, and hand over to it

# To an old child: open your hand-over socket. To a new one, only after it has reported ready: the sockets of those
# that it is to take over are open; one that is not there, or refuses for a second, belongs to a process that is gone.
# Once a new child has succeeded it is an old one, of the next upgrade.
LISTEN_SIGNAL = signal.SIGUSR1
# To an old child: there will be no upgrade after all. Close the hand-over socket and go on as if it had never been.
CALL_OFF_SIGNAL = signal.SIGUSR2

HUB = "hub"


@dataclass(frozen=True, slots=True, kw_only=True)
class OldWorker:
    """A worker of the generation before."""

    seat: int
    path: str  # of its hand-over socket


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeover:
    """What a child has to know that takes over from the generation before. `ChildContext.takeover`.

    The hub sets `Field.SUCCEEDED` of its row to 1 when it has everything from the old one, or knows that the old one
    is gone; only then are its workers sent `LISTEN_SIGNAL`. A worker sets it when each of its old workers has offered
    everything that can move once, or is gone.
    """

    generation: int  # of the old processes
    hub_path: str  # of the old hub's hand-over socket
    workers: tuple[OldWorker, ...]  # all of them, also those that are dead by now

    def workers_of(self, index: int, count: int) -> tuple[OldWorker, ...]:
        """Give those that fall to worker `index` of `count` new ones."""
        return self.workers[index::count]


def new_takeover(settings: Settings, workers_count: int) -> Takeover:
    """Describe the generation before that of `settings`, which had so many workers and the same run directory."""
    old = dataclasses.replace(settings, generation=settings.generation - 1)
    seats = [old.seat_of(index) for index in range(workers_count)]
    return Takeover(
        generation=old.generation,
        hub_path=handover_path(old, HUB),
        workers=tuple(OldWorker(seat=seat, path=handover_path(old, seat)) for seat in seats),
    )


def handover_path(settings: Settings, who: int | str) -> str:
    """Give the path of the socket where a process hands over what it has: `who` is a worker's seat, or `HUB`.

    The socket has mode 0600 and whoever connects must have the same user id or be root.
    """
    return settings.own_ipc_path(f"next-{who}")
