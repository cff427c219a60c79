"""What the supervisor keeps of its children. How it runs them: tests/integration/test_supervisor.py."""

from gripproxy.child import ChildContext
from gripproxy.scoreboard import Field, ProcessState, Scoreboard
from gripproxy.settings import Settings
from gripproxy.supervisor.process import ChildProcess
from gripproxy.supervisor.supervisor import Supervisor


def idle_main(settings: Settings, context: ChildContext) -> None:
    """Never called here."""


def new_supervisor(scoreboard: Scoreboard) -> Supervisor:
    return Supervisor(Settings(workers=2), idle_main, idle_main, scoreboard)


def test_children_have_the_rows_that_the_scoreboard_gives_them() -> None:
    """The hub reads its workers' rows by this order."""
    supervisor = new_supervisor(Scoreboard(2))
    plans = [(plan.name, plan.index, plan.row_index) for plan in supervisor._plans]
    assert plans == [("hub", 0, 0), ("worker 0", 0, 1), ("worker 1", 1, 2)]


def test_gone_child_keeps_its_counters_and_loses_its_gauges() -> None:
    """Its clients are gone with it; what it has counted has happened."""
    scoreboard = Scoreboard(2)
    supervisor = new_supervisor(scoreboard)
    supervisor._processes[2] = ChildProcess(pid=999_999_999, report_fd=None, is_ready=True)
    row = scoreboard.row(2)
    gauges = (Field.CONNECTIONS, Field.HELD_STREAMS, Field.CHANNELS, Field.MEMORY_REFUSED, Field.RSS_BYTES)
    for field in (*gauges, Field.REQUESTS):
        row[field] = 7
    supervisor._take_exit(2, "killed by SIGKILL")
    assert row[Field.STATE] == ProcessState.DEAD
    assert [row[field] for field in gauges] == [0] * len(gauges)
    assert row[Field.REQUESTS] == 7
