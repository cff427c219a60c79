"""The id cache: what counts as a duplicate, for how long, and how much is remembered."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from gripproxy.bus.id_cache import IdCache


def test_second_sighting_within_ttl_is_a_duplicate() -> None:
    """A publisher that repeats a request after a lost answer must not make clients see the item twice."""
    cache = IdCache(ttl_s=60)
    assert not cache.is_duplicate("news", "1", now=100.0)
    assert cache.is_duplicate("news", "1", now=159.9)


def test_ttl_runs_from_first_sighting() -> None:
    """As the reference: repeating an id does not keep it blocked for ever."""
    cache = IdCache(ttl_s=60)
    cache.is_duplicate("news", "1", now=100.0)
    assert cache.is_duplicate("news", "1", now=150.0)
    assert not cache.is_duplicate("news", "1", now=160.0)
    assert cache.is_duplicate("news", "1", now=161.0)


def test_ids_belong_to_their_channel() -> None:
    """Two channels number their items alike; no choice of names may make them collide."""
    cache = IdCache(ttl_s=60)
    assert not cache.is_duplicate("a", "bc", now=1.0)
    assert not cache.is_duplicate("ab", "c", now=1.0)
    assert not cache.is_duplicate("", "abc", now=1.0)


def test_empty_id_is_an_id() -> None:
    """Only an absent id means "no id"."""
    cache = IdCache(ttl_s=60)
    assert not cache.is_duplicate("a", "", now=1.0)
    assert cache.is_duplicate("a", "", now=1.0)


def test_ttl_zero_remembers_nothing() -> None:
    """`id_cache_ttl=0` switches the cache off."""
    cache = IdCache(ttl_s=0)
    assert not cache.is_duplicate("a", "1", now=1.0)
    assert not cache.is_duplicate("a", "1", now=1.0)
    assert len(cache) == 0


def test_memory_is_bounded() -> None:
    """A publisher that never repeats an id must not fill the memory; the youngest ids are kept."""
    cache = IdCache(ttl_s=60, ids_max_count=100)
    for number in range(1000):
        cache.is_duplicate("a", str(number), now=1.0)
        assert len(cache) <= 100
    assert cache.is_duplicate("a", "999", now=2.0)
    assert cache.is_duplicate("a", "950", now=2.0)
    assert not cache.is_duplicate("a", "0", now=2.0)


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.floats(0.0, 40.0))))
def test_agrees_with_a_plain_table(sightings: list[tuple[str, float]]) -> None:
    """Dropping ids in bulk must not change any answer."""
    cache, first_seen, now = IdCache(ttl_s=60), dict[str, float](), 0.0
    for item_id, step_s in sightings:
        now += step_s
        expected = item_id in first_seen and now - first_seen[item_id] < 60
        if not expected:
            first_seen[item_id] = now
        assert cache.is_duplicate("c", item_id, now) is expected


def test_a_long_id_is_remembered_by_its_digest() -> None:
    """Ids of a megabyte each, for a minute, would be gigabytes."""
    cache = IdCache(60.0)
    tracemalloc.start()
    try:
        assert not any(cache.is_duplicate("a", f"{number}{'x' * 1_000_000}", 0.0) for number in range(100))
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()
    assert cache.is_duplicate("a", f"7{'x' * 1_000_000}", 1.0)
    assert not cache.is_duplicate("a", f"7{'x' * 1_000_001}", 1.0)


def test_what_came_after_a_snapshot_is_known() -> None:
    """Another process takes over the bulk first, and the rest when this one takes nothing more."""
    cache, other = IdCache(10.0), IdCache(10.0)
    cache.is_duplicate("c", "1", 0.0)
    cache.is_duplicate("c", "2", 11.0)  # which is when the first becomes old
    seen = cache.snapshot()
    other.take_over(seen)
    cache.is_duplicate("c", "3", 12.0)
    assert [key for key, _ in cache.since(len(seen))] == ["1:c3"]
    other.take_over(cache.since(len(seen)))
    assert [other.is_duplicate("c", item_id, 13.0) for item_id in "1234"] == [False, True, True, False]
