"""What one hold gets of an item: order first, then the publisher's assumptions, then filters."""

import pytest

from gripproxy.engine.tracking import Conflict, Mismatch, Tracking, track
from gripproxy.protocol.instruct import ChannelInstruct, HoldMode, Instruct
from gripproxy.protocol.link_url import LinkUrl
from gripproxy.protocol.network_filter import FilterRun
from gripproxy.protocol.publish_item import PublishItem

URL = LinkUrl(False, "d.test", "/")


def tracked(*channels: ChannelInstruct, prefix: str = "", subs: tuple[str, ...] = (), **meta: str) -> Tracking:
    given = Instruct(200, b"OK", [], b"", HoldMode.STREAM, list(channels), meta=meta)
    found = track(given, prefix, subs, 20)
    assert found is not None
    return found


def test_plain_channels_need_no_tracking() -> None:
    """A million holds are of this kind."""
    given = Instruct(
        200, b"OK", [], b"", HoldMode.STREAM, [ChannelInstruct("a"), ChannelInstruct("b")], meta={"k": "v"}
    )
    assert track(given, "", (), 20) is None
    given.channels.append(ChannelInstruct("c", "1"))
    assert track(given, "", (), 2) is None, "the third is one too many"


def test_an_item_that_does_not_follow_changes_nothing() -> None:
    hold = tracked(ChannelInstruct("a", "1"))
    for item in (PublishItem("a", "3", "2"), PublishItem("a", "3"), PublishItem("a", "3", "")):
        with pytest.raises(Conflict):
            hold.take(item, b"x", None)
    assert hold.ids == {"a": "1"}


@pytest.mark.parametrize("prev_id", ["", None])
def test_an_empty_id_is_an_id(prev_id: str | None) -> None:
    """It is where a channel stands before its first item, which may say so, or name none before it."""
    hold = tracked(ChannelInstruct("a", ""))
    with pytest.raises(Conflict):
        hold.take(PublishItem("a", "2", "1"), b"x", None)
    assert hold.take(PublishItem("a", "1", prev_id), b"x", None) == b"x"
    assert hold.ids == {"a": "1"}


def test_an_item_that_a_filter_drops_is_followed() -> None:
    """The client did not miss it. But one that it could not take is not."""
    hold = tracked(ChannelInstruct("a", "1", ("skip-self",)), user="ann")
    assert hold.take(PublishItem("a", "2", "1", meta={"sender": "ann"}), b"x", None) is None
    assert hold.ids == {"a": "2"}
    with pytest.raises(Mismatch):
        hold.take(PublishItem("a", "3", "2"), b"x", ("build-id",))
    assert hold.ids == {"a": "2"}


@pytest.mark.parametrize(
    ("filters", "assumed", "is_equal"),
    [
        ((), (), True),
        (("skip-self",), (), True),
        (("skip-self", "var-subst"), ("var-subst",), True),
        (("build-id", "var-subst"), ("var-subst", "build-id"), False),
        (("build-id",), (), False),
        ((), ("build-id",), False),
    ],
)
def test_assumed_filters_are_compared_in_order(
    filters: tuple[str, ...], assumed: tuple[str, ...], is_equal: bool
) -> None:
    hold = tracked(ChannelInstruct("a", None, filters), ChannelInstruct("b", "1"), id_format="x")
    if is_equal:
        assert hold.take(PublishItem("a"), b"x", assumed) == b"x"
    else:
        with pytest.raises(Mismatch):
            hold.take(PublishItem("a"), b"x", assumed)


def test_names_are_the_origins_and_the_targets_own() -> None:
    """A channel of the target's ``sub`` is not the route's, even if its name were the same behind the prefix."""
    hold = tracked(ChannelInstruct("a", "1", ("require-sub",)), prefix="p-", subs=("p-b",))
    assert hold.take(PublishItem("p-a", "2", "1", meta={"require_sub": "a"}), b"x", None) == b"x"
    assert hold.take(PublishItem("p-a", "3", "2", meta={"require_sub": "p-b"}), b"x", None) == b"x"
    assert hold.take(PublishItem("p-a", "4", "3", meta={"require_sub": "b"}), b"x", None) is None
    assert hold.take(PublishItem("p-b", "9", "8"), b"x", None) == b"x"


def test_a_filter_that_asks_says_where_the_hold_stood_before_the_item() -> None:
    hold = tracked(ChannelInstruct("a", "1", ("http-check",)), url="/check")
    run = hold.take(PublishItem("a", "2", "1"), b"x", None)
    assert isinstance(run, FilterRun)
    hold.ids["a"] = "9"
    asked = run.advance(URL)
    assert asked is not None
    assert (b"Grip-Last", b"a; last-id=1") in asked.headers
