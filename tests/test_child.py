"""What a child can tell its supervisor."""

import os

from gripproxy.child import READY_LINE, REASON_MAX_BYTES, ChildContext
from gripproxy.handover import Takeover
from gripproxy.scoreboard import Field, ProcessState, Scoreboard


def new_context(report_fd: int) -> ChildContext:
    return ChildContext(
        name="worker 1",
        index=1,
        row_index=2,
        scoreboard=Scoreboard(2),
        lifeline_fd=-1,
        report_fd=report_fd,
    )


def read_all(fd: int) -> bytes:
    with open(fd, "rb") as file:
        return file.read()


def test_ready_child_has_its_state_before_its_line() -> None:
    """The hub looks at the states, the supervisor at the line; nothing more can be said after it."""
    read_fd, write_fd = os.pipe()
    context = new_context(write_fd)
    context.report_ready()
    assert context.row[Field.STATE] == ProcessState.READY
    assert context.has_reported
    assert read_all(read_fd) == READY_LINE


def test_child_that_takes_over_may_fail_later() -> None:
    """Whoever wants the upgrade is to hear why it came to nothing."""
    read_fd, write_fd = os.pipe()
    context = new_context(write_fd)
    context.takeover = Takeover(generation=0, hub_path="/nowhere", workers=())
    context.report_ready()
    context.report_failure("the address is taken")
    assert read_all(read_fd) == READY_LINE + b"the address is taken"


def test_row_is_the_childs_own() -> None:
    """Rows are written without locks: no two processes share one."""
    context = new_context(-1)
    context.row[Field.REQUESTS] += 5
    assert context.scoreboard.row(2)[Field.REQUESTS] == 5
    assert context.scoreboard.row(1)[Field.REQUESTS] == 0


def test_long_reason_fits_in_one_write() -> None:
    """Beyond PIPE_BUF a write may be split, and the supervisor would see the first part as the whole."""
    read_fd, write_fd = os.pipe()
    new_context(write_fd).report_failure("x" * 10_000)
    assert len(read_all(read_fd)) == REASON_MAX_BYTES
