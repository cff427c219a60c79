"""The supervisor's decisions, played as conversations: events in, actions out."""

import signal

import pytest

from gripproxy.supervisor.policy import (
    _ON,
    FAILED_STARTS_MAX_COUNT,
    Action,
    ChildExited,
    ChildReady,
    End,
    Log,
    Phase,
    Policy,
    ReadAgain,
    ReloadAsked,
    Reloaded,
    Send,
    Start,
    StopAsked,
    Ticked,
)

NAMES = ["hub", "worker 0", "worker 1"]
ALL_ROWS = [0, 1, 2]


def deeds(actions: list[Action]) -> list[Action]:
    """Leave the log lines out."""
    return [action for action in actions if not isinstance(action, Log)]


def lines(actions: list[Action]) -> list[str]:
    return [action.text for action in actions if isinstance(action, Log)]


def started() -> Policy:
    policy = Policy(NAMES)
    policy.start(0.0)
    return policy


def serving(now: float = 0.0) -> Policy:
    policy = started()
    for row in ALL_ROWS:
        policy.handle(ChildReady(row), now)
    return policy


def tick(policy: Policy, now: float) -> list[Action]:
    """Let time pass with every child alive."""
    return policy.handle(Ticked([now] * len(NAMES)), now)


def test_start_forks_the_hub_and_every_worker() -> None:
    """The hub comes first: the workers wait for its bus."""
    assert Policy(NAMES).start(0.0) == [Start(0), Start(1), Start(2)]


def test_ready_is_said_once_and_last() -> None:
    """Scripts wait for this line before they send clients."""
    policy = started()
    assert policy.handle(ChildReady(0), 0.1) == []
    assert policy.handle(ChildReady(2), 0.1) == []
    assert lines(policy.handle(ChildReady(1), 0.2)) == ["ready"]
    assert policy.phase == Phase.SERVING


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (ChildExited(1, "exit status 3", "port 7999 is taken"), "worker 0 cannot start: port 7999 is taken"),
        (ChildExited(1, "killed by SIGSEGV"), "worker 0 cannot start: killed by SIGSEGV before it was ready"),
        (ChildExited(0, "exit status 0"), "hub cannot start: exit status 0 before it was ready"),
    ],
)
def test_child_that_cannot_start_stops_the_whole(event: ChildExited, line: str) -> None:
    """A port that is taken stays taken: the reason is worth more than a respawn storm."""
    policy = started()
    actions = policy.handle(event, 0.1)
    assert lines(actions) == [line]
    workers = [row for row in (1, 2) if row != event.row]
    assert deeds(actions) == [Send(workers, signal.SIGKILL)]
    for row in workers:
        actions = policy.handle(ChildExited(row, "killed by SIGKILL"), 0.2)
    if event.row != 0:
        assert actions == [Send([0], signal.SIGKILL)]
        actions = policy.handle(ChildExited(0, "exit status 0"), 0.3)
    assert actions == [End(1)]


def test_only_the_first_failure_is_told() -> None:
    """Every worker fails for the same reason; it is said once."""
    policy = started()
    policy.handle(ChildExited(1, "exit status 3", "port taken"), 0.1)
    assert lines(policy.handle(ChildExited(2, "exit status 3", "port taken"), 0.1)) == []


def test_child_ready_before_the_others_is_replaced_when_it_dies() -> None:
    """What served once can serve again: its death is not a failed start."""
    policy = started()
    policy.handle(ChildReady(1), 0.1)
    assert deeds(policy.handle(ChildExited(1, "killed by SIGKILL"), 0.2)) == []
    assert tick(policy, 0.2) == [Start(1)]


def test_first_death_is_replaced_at_once() -> None:
    """The other workers take new clients meanwhile, but a hub that is away stops all publishing."""
    policy = serving()
    actions = policy.handle(ChildExited(0, "killed by SIGKILL"), 60.0)
    assert lines(actions) == ["hub is gone: killed by SIGKILL; starting a new one now"]
    assert policy.wait_s(60.0) == 0.0
    assert tick(policy, 60.0) == [Start(0)]
    assert lines(policy.handle(ChildReady(0), 60.1)) == ["hub is ready again"]


def test_crash_storm_backs_off_to_the_maximum() -> None:
    """A child that dies as soon as it serves must not take the CPU from the ones that do serve."""
    policy = serving()
    now = 0.0
    delays_s = []
    for _ in range(9):
        policy.handle(ChildExited(1, "exit status 1"), now)
        delay_s = policy.children[1].restart_s - now
        delays_s.append(round(delay_s, 3))
        if delay_s:
            assert tick(policy, now) == []
        while tick(policy, now) != [Start(1)]:
            now += policy.wait_s(now)
        policy.handle(ChildReady(1), now)
    assert delays_s == [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_long_life_forgives_earlier_deaths() -> None:
    """One death a day is not a storm."""
    policy = serving()
    for _ in range(3):
        policy.handle(ChildExited(1, "exit status 1"), 1.0)
        policy._start_child(1, 1.0)
        policy.handle(ChildReady(1), 1.0)
    policy.handle(ChildExited(1, "exit status 1"), 11.0)
    assert policy.children[1].restart_s == 11.0


def test_replacement_that_cannot_start_is_tried_again_then_gives_up() -> None:
    """The clients of the others are kept for as long as the reason may pass by itself, but not for ever."""
    policy = serving()
    policy.handle(ChildExited(0, "killed by SIGKILL"), 100.0)
    now = 100.0
    for _ in range(FAILED_STARTS_MAX_COUNT - 1):
        while Start(0) not in tick(policy, now):
            now += policy.wait_s(now)
        actions = policy.handle(ChildExited(0, "exit status 3", "port taken"), now)
        assert deeds(actions) == []
        assert lines(actions)[0].startswith("hub cannot start: port taken; starting a new one in ")
    while Start(0) not in tick(policy, now):
        now += policy.wait_s(now)
    actions = policy.handle(ChildExited(0, "exit status 3", "port taken"), now)
    assert lines(actions) == ["hub cannot start: port taken"]
    assert deeds(actions) == [Send([1, 2], signal.SIGTERM)]


def test_silent_child_is_killed_once_and_replaced() -> None:
    """One stuck worker holds up the bus for all."""
    policy = serving(now=0.0)
    for second in range(1, 21):
        assert policy.handle(Ticked([second, 0.0, second]), second) == []
    actions = policy.handle(Ticked([21.0, 0.0, 21.0]), 21.0)
    assert deeds(actions) == [Send([1], signal.SIGKILL)]
    assert policy.handle(Ticked([22.0, 0.0, 22.0]), 22.0) == []
    exit_lines = lines(policy.handle(ChildExited(1, "killed by SIGKILL"), 22.0))
    assert exit_lines == ["worker 0 is gone: no sign of life for 21 s; starting a new one now"]
    assert tick(policy, 22.0) == [Start(1)]


def test_child_that_never_gets_ready_is_killed() -> None:
    """A start that hangs must end with a reason, as one that fails does."""
    policy = started()
    policy.handle(ChildReady(0), 0.1)
    policy.handle(ChildReady(2), 0.1)
    for second in range(1, 31):
        assert tick(policy, second) == []
    assert deeds(tick(policy, 30.5)) == [Send([1], signal.SIGKILL)]
    actions = policy.handle(ChildExited(1, "killed by SIGKILL"), 30.6)
    assert lines(actions) == ["worker 0 cannot start: not ready 30 s after its start"]


def test_machine_that_slept_does_not_count_as_silence() -> None:
    """After a suspended guest resumes, no child has had the time to write its heartbeat."""
    policy = serving()
    assert tick(policy, 1.0) == []
    assert policy.handle(Ticked([1.0, 1.0, 1.0]), 500.0) == []
    assert policy.handle(Ticked([1.0, 1.0, 1.0]), 504.0) == []


def test_stop_goes_to_the_workers_then_to_the_hub() -> None:
    """A worker that still serves needs the hub; the hub needs nobody."""
    policy = serving()
    assert policy.handle(StopAsked(), 1.0) == [Log(2, "stopping..."), Send([1, 2], signal.SIGTERM)]
    assert policy.handle(ChildExited(2, "exit status 0"), 1.1) == []
    assert policy.handle(ChildExited(1, "exit status 0"), 1.2) == [Send([0], signal.SIGTERM)]
    assert policy.handle(ChildExited(0, "exit status 0"), 1.3) == [End(0)]


def test_stop_does_not_wait_for_children_that_still_start() -> None:
    """They serve nobody, and one that waits for a hub that cannot start would not hear SIGTERM."""
    policy = started()
    policy.handle(ChildReady(1), 0.1)
    assert deeds(policy.handle(StopAsked(), 0.2)) == [Send([1], signal.SIGTERM), Send([2], signal.SIGKILL)]
    policy.handle(ChildExited(1, "exit status 0"), 0.3)
    assert policy.handle(ChildExited(2, "killed by SIGKILL"), 0.3) == [Send([0], signal.SIGKILL)]
    assert policy.handle(ChildExited(0, "killed by SIGKILL"), 0.4) == [End(0)]


def test_stop_without_running_children_ends() -> None:
    """The last child may be waiting for its restart when the stop is asked for."""
    policy = Policy(["hub", "worker 0"])
    policy.start(0.0)
    policy.handle(ChildReady(0), 0.1)
    policy.handle(ChildReady(1), 0.1)
    policy.handle(ChildExited(0, "exit status 1"), 0.2)
    policy.handle(ChildExited(1, "exit status 1"), 0.2)
    assert deeds(policy.handle(StopAsked(), 0.2)) == [End(0)]


def test_what_does_not_stop_in_time_is_killed() -> None:
    """A stop must end before systemd or a container's runtime loses patience."""
    policy = serving()
    policy.handle(StopAsked(), 1.0)
    policy.handle(ChildExited(1, "exit status 0"), 1.1)
    assert tick(policy, 4.9) == []
    assert deeds(tick(policy, 5.0)) == [Send([0, 2], signal.SIGKILL)]
    assert policy.handle(ChildExited(2, "killed by SIGKILL"), 5.1) == []
    assert policy.handle(ChildExited(0, "killed by SIGKILL"), 5.1) == [End(0)]


def test_second_stop_kills_at_once() -> None:
    """Somebody who presses Ctrl-C twice will not wait."""
    policy = serving()
    policy.handle(StopAsked(), 1.0)
    assert deeds(policy.handle(StopAsked(), 1.1)) == [Send([0, 1, 2], signal.SIGKILL)]


def test_process_that_cannot_be_killed_does_not_hold_the_exit() -> None:
    """A process in uninterruptible sleep outlives SIGKILL."""
    policy = serving()
    policy.handle(StopAsked(), 1.0)
    policy.handle(StopAsked(), 1.1)
    assert tick(policy, 3.0) == []
    assert tick(policy, 3.2) == [End(0)]


def test_nothing_is_restarted_while_stopping() -> None:
    """A child that dies while the others stop is one less to stop."""
    policy = serving()
    policy.handle(ChildExited(1, "exit status 1"), 1.0)
    policy.handle(StopAsked(), 1.0)
    assert tick(policy, 2.0) == []


def test_reload_is_read_before_anybody_hears_of_it() -> None:
    """What is bad in it reaches no child. The log says why it is read; the words are the reference's."""
    changed = ReloadAsked(is_file_changed=True)
    actions = [serving().handle(event, 1.0) for event in (ReloadAsked(), changed)]
    assert actions[0] == [Log(2, "reloading"), ReadAgain(is_routes_only=False)]
    assert actions[1] == [Log(2, "routes file changed, reloading"), ReadAgain(is_routes_only=True)]


def test_reload_reaches_every_child() -> None:
    """Each has settings of its own business."""
    assert serving().handle(Reloaded(), 1.0) == [Send([0, 1, 2], signal.SIGHUP)]


def test_reload_during_a_restart_comes_when_the_child_is_ready() -> None:
    """It was forked with what ran before, and ignores the signal until it serves."""
    policy = serving()
    for row in (0, 1):
        policy.handle(ChildExited(row, "exit status 1"), 1.0)
    tick(policy, 1.0)
    assert deeds(policy.handle(Reloaded(), 1.1)) == [Send([2], signal.SIGHUP)]
    for row in (0, 1):
        assert deeds(policy.handle(ChildReady(row), 1.2)) == [Send([row], signal.SIGHUP)]


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_has_an_answer_to_every_event(phase: Phase) -> None:
    """A signal can come at any moment; a hole in the table would take the supervisor down."""
    for event_type in (ChildReady, ChildExited, Ticked, StopAsked, ReloadAsked, Reloaded):
        assert callable(_ON[phase][event_type])


@pytest.mark.parametrize("phase", [Phase.STOPPING_WORKERS, Phase.STOPPING_HUB, Phase.KILLING, Phase.ENDED])
def test_reload_and_ready_mean_nothing_while_stopping(phase: Phase) -> None:
    """A worker that gets ready after the stop began is stopped like the others."""
    policy = serving()
    policy._enter(phase)
    assert policy.handle(ReloadAsked(), 1.0) == []
    assert policy.handle(Reloaded(), 1.0) == []
    assert policy.handle(ChildReady(1), 1.0) == []
