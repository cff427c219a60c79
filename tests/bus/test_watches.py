"""Watch bits of several owners."""

from gripproxy.bus.watches import Watches
from gripproxy.scoreboard import Field, Scoreboard, Watch


def watched(scoreboard: Scoreboard) -> Watch:
    return Watch(scoreboard.row(0)[Field.WATCHED])


def test_what_one_owner_gives_up_another_may_still_want() -> None:
    """Two listeners of the same kind of record must not switch it off for one another."""
    scoreboard = Scoreboard(1)
    watches = Watches(scoreboard.row(0))
    watches.set("stats socket", Watch.MESSAGES | Watch.CONNS)
    watches.set("events", Watch.MESSAGES | Watch.EVENTS)
    assert watched(scoreboard) == Watch.MESSAGES | Watch.CONNS | Watch.EVENTS
    watches.set("stats socket", Watch(0))
    assert watched(scoreboard) == Watch.MESSAGES | Watch.EVENTS
    watches.set("events", Watch(0))
    assert watched(scoreboard) == Watch(0)


def test_new_hub_clears_what_a_killed_one_left() -> None:
    """Nobody looks any more, so the workers must not go on telling."""
    scoreboard = Scoreboard(1)
    scoreboard.row(0)[Field.WATCHED] = int(Watch.EVENTS)
    Watches(scoreboard.row(0))
    assert watched(scoreboard) == Watch(0)
