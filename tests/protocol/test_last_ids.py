from gripproxy.protocol import last_ids
from gripproxy.protocol.last_ids import LastIds


def test_an_item_without_an_id_leaves_the_channel_unknown() -> None:
    ids = LastIds()
    ids.note("a", "1")
    ids.note("a", "2")
    assert ids == {"a": "2"}
    ids.note("a", None)
    ids.note("b", None)
    assert ids == {}


def test_the_channel_used_longest_ago_makes_room(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(last_ids, "LAST_IDS_MAX_COUNT", 2)
    ids = LastIds()
    for channel, item_id in (("a", "1"), ("b", "1"), ("a", "2"), ("c", "1")):
        ids.note(channel, item_id)
    assert ids == {"a": "2", "c": "1"}


def test_a_channel_that_is_known_takes_no_room_again(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(last_ids, "LAST_IDS_MAX_COUNT", 2)
    ids = LastIds()
    for channel, item_id in (("a", "1"), ("b", "1"), ("b", "2")):
        ids.note(channel, item_id)
    assert ids == {"a": "1", "b": "2"}
