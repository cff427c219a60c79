"""Which events a listener asked for."""

import pytest

from gripproxy.bus.control_request import ControlRequestError
from gripproxy.bus.event_filter import EventFilter, decode_event_filter
from gripproxy.protocol.event_line import Event
from gripproxy.protocol.telemetry import HoldRecord, Outcome, PublishRecord, RequestRecord
from gripproxy.scoreboard import Watch

REQUEST = RequestRecord(0.0, "0-1-1", "::1", "GET", "/", "shop", "localhost:80", 200, Outcome.ANSWERED, 3, 0.1)
HOLD = HoldRecord(0.0, "0-1-1", "/", "shop", "stream", ["news", "room-1"])
PUBLISH = PublishRecord(0.0, "room-1", None, "http", 0, 1, 0)
EVENTS: list[Event] = [REQUEST, HOLD, PUBLISH]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, EVENTS),
        ({"kind": ["hold", "publish"]}, [HOLD, PUBLISH]),
        ({"route": ["shop"]}, [REQUEST, HOLD]),
        ({"route": ["shop", "other"], "kind": ["request"]}, [REQUEST]),
        ({"route": ["other"]}, []),
        ({"channel": ["room-1"]}, [HOLD, PUBLISH]),
        ({"channel": ["news"]}, [HOLD]),
        ({"channel": ["room-*"]}, [HOLD, PUBLISH]),
        ({"channel": ["room"]}, []),
        ({"channel": ["x", "*"]}, [HOLD, PUBLISH]),
        ({"channel": ["room-1"], "route": ["shop"]}, [HOLD]),
    ],
)
def test_filters_join(parameters: dict[str, list[str]], expected: list[Event]) -> None:
    """Values of one name add to each other, names narrow each other."""
    wanted = decode_event_filter(parameters)
    assert [event for event in EVENTS if wanted.passes(event)] == expected
    # What passes can only be what workers are asked to tell.
    assert {type(event) for event in expected} <= wanted.possible_kinds


@pytest.mark.parametrize(
    ("wanted", "watch"),
    [
        (EventFilter(), Watch.EVENTS | Watch.MESSAGES),
        (EventFilter(kinds=(HoldRecord,)), Watch.EVENTS),
        (EventFilter(kinds=(PublishRecord,)), Watch.MESSAGES),
        (EventFilter(routes=("shop",)), Watch.EVENTS),
        (EventFilter(channels=("news",)), Watch.EVENTS | Watch.MESSAGES),
        (EventFilter(channels=("news",), kinds=(RequestRecord,)), Watch(0)),
    ],
)
def test_only_what_can_pass_is_watched(wanted: EventFilter, watch: Watch) -> None:
    """Receipts of items are dear: who listens to a route must not make workers tell them."""
    assert wanted.watch == watch


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"kind": ["requests"]}, "unknown kind 'requests'; there are: request, hold, publish"),
        ({"chanel": ["a"]}, "unknown parameter 'chanel'; there are: channel, route, kind"),
    ],
)
def test_typing_errors_are_named(parameters: dict[str, list[str]], text: str) -> None:
    """A filter that is misspelt would show everything, or nothing for ever."""
    with pytest.raises(ControlRequestError) as raised:
        decode_event_filter(parameters)
    assert str(raised.value) == text
