"""Who asks the origin again, and when."""

from gripproxy.engine.timer_wheel import TimerWheel
from gripproxy.engine.updates import PollGroup, PollGroups, UpdateQueue


def test_a_batch_is_of_one_bucket_and_buckets_take_turns() -> None:
    """One stream with a busy link must not wait for ten thousand long-polls."""
    queue = UpdateQueue(2)
    assert queue.add(1, "polls")
    for conn_id in (2, 3, 4, 5):
        assert not queue.add(conn_id, "polls"), "the queue is awake"
    queue.add(9, "link")
    batches = [queue.take() for _ in range(5)]
    assert batches == [([1, 2], True), ([9], True), ([3, 4], True), ([5], True), ([], False)]
    assert queue.add(1, "polls"), "it fell asleep"


def test_whoever_waits_already_keeps_his_place() -> None:
    queue = UpdateQueue()
    queue.add(1, "a")
    assert not queue.add(1, "b")
    queue.add(2, "b")
    assert [queue.take(), queue.take()] == [([1], True), ([2], True)]


def test_nobody_is_asked_for_who_has_left() -> None:
    queue = UpdateQueue()
    queue.add(1, "a")
    queue.discard(1)
    queue.discard(1)
    assert queue.take() == ([], False)


def test_a_group_has_one_deadline() -> None:
    """Who joins later polls early."""
    wheel = TimerWheel(0.0)
    groups = PollGroups(wheel)
    group = groups.join(1, "/next", 20, 0.0)
    assert groups.join(2, "/next", 20, 15.0) is group
    other = groups.join(3, "/next", 30, 0.0)
    assert wheel.due(20.5, 10) == [group]
    assert group.members == {1: 0.0, 2: 15.0}
    groups.restart(group, 20.5)
    assert wheel.due(40.0, 10) == [other]
    assert wheel.due(41.0, 10) == [group]


def test_an_empty_group_is_forgotten() -> None:
    wheel = TimerWheel(0.0)
    groups = PollGroups(wheel)
    group = groups.join(1, "/next", 20, 0.0)
    groups.leave(1, group)
    assert wheel.due(100.0, 10) == []
    assert isinstance(groups.join(1, "/next", 20, 100.0), PollGroup)
    assert wheel.due(121.0, 10) != [group]


def test_queue_says_who_waits() -> None:
    """Whoever goes to another worker waits there."""
    queue = UpdateQueue()
    queue.add(1, "a")
    assert 1 in queue and 2 not in queue


def test_stream_that_comes_from_elsewhere_has_its_old_deadline_or_that_of_its_group_here() -> None:
    """Streams with one link ask together, also those that have just come."""
    wheel = TimerWheel(0.0)
    groups, others = PollGroups(wheel), PollGroups(TimerWheel(0.0))
    standing = others.standing(1, others.join(1, "link", 30, 10.0), 15.0)
    assert standing == (25.125, 5.0)
    group = groups.rejoin(4, "link", 30, standing, 100.0)
    assert groups.rejoin(5, "link", 30, (3.0, 1.0), 101.0) is group
    assert group.members == {4: 95.0, 5: 100.0}
    assert wheel.due(125.0, 10) == []
    assert wheel.due(125.5, 10) == [group]
