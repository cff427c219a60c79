"""The union of the workers' channels: only its changes are told to publishers."""

from hypothesis import given
from hypothesis import strategies as st

from gripproxy.bus.channel_union import ChannelUnion


def test_only_the_first_and_last_worker_change_the_union() -> None:
    """A publisher sees one subscription, however many workers have subscribers."""
    union = ChannelUnion()
    assert union.change(0, ["a"], []) == (["a"], [])
    assert union.change(1, ["a"], []) == ([], [])
    assert union.change(0, [], ["a"]) == ([], [])
    assert union.change(1, [], ["a"]) == ([], ["a"])
    assert "a" not in union


def test_repeated_reports_change_nothing() -> None:
    """A worker reports all of its channels again to a new hub, which may know some of them already."""
    union = ChannelUnion()
    union.change(0, ["a"], [])
    assert union.change(0, ["a", "a"], ["never there"]) == ([], [])
    assert union.change(0, [], ["a", "a"]) == ([], ["a"])


def test_forgetting_a_worker_drops_what_only_it_had() -> None:
    """A killed worker reports nothing more."""
    union = ChannelUnion()
    union.change(0, ["a", "b"], [])
    union.change(1, ["b"], [])
    assert union.forget_worker(0) == ["a"]
    assert list(union) == ["b"]
    assert union.forget_worker(0) == []


@given(st.lists(st.tuples(st.integers(0, 2), st.sets(st.sampled_from("abc")), st.sets(st.sampled_from("abc")))))
def test_differences_add_up_to_the_union(reports: list[tuple[int, set[str], set[str]]]) -> None:
    """Whoever applies every difference, once, always has exactly the union: nothing twice, nothing left behind."""
    union, applied = ChannelUnion(), set[str]()
    for worker_index, added, removed in reports:
        new, gone = union.change(worker_index, added, removed)
        assert applied.isdisjoint(new)
        applied |= set(new)
        assert applied.issuperset(gone)
        applied -= set(gone)
        assert applied == set(union)
