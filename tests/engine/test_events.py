"""Events are what every request makes several of."""

import dataclasses
from typing import get_args

from gripproxy.engine import events
from gripproxy.engine.events import Event, RequestArrived
from tests.engine.conversation import request


def test_every_event_is_slotted_and_not_frozen() -> None:
    """Frozen ones cost five times as much to make, unslotted ones a dictionary each."""
    for event in get_args(Event):
        assert "__slots__" in vars(event), event
        assert not event.__dataclass_params__.frozen, event


def test_every_event_is_in_the_union() -> None:
    """What is not in it, `Core.handle` does not promise to take."""
    defined = {
        kind
        for kind in vars(events).values()
        if dataclasses.is_dataclass(kind) and getattr(kind, "__module__", "") == events.__name__
    }
    assert defined == set(get_args(Event))


def test_request_is_taken_as_plain_and_whole() -> None:
    """The defaults are the common case: a GET without a body on a plain listener."""
    event = RequestArrived(3, request(), "10.0.0.9")
    assert (event.is_https, event.is_request_done) == (False, True)
