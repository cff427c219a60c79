"""Effects are what the worker's driver carries out."""

import dataclasses
from typing import get_args

from gripproxy.engine import effects
from gripproxy.engine.effects import Deliver, Effect


def test_every_effect_is_slotted_and_not_frozen() -> None:
    """They are made for every request and item."""
    for effect in get_args(Effect):
        assert "__slots__" in vars(effect), effect
        assert not effect.__dataclass_params__.frozen, effect


def test_every_effect_is_in_the_union() -> None:
    """What is not in it, the driver's table does not have."""
    defined = {
        kind
        for kind in vars(effects).values()
        if dataclasses.is_dataclass(kind) and getattr(kind, "__module__", "") == effects.__name__
    }
    assert defined == set(get_args(Effect))


def test_delivery_counts_as_an_item_unless_it_says_otherwise() -> None:
    """Keep-alives are counted apart and do not wait behind a slow client's backlog."""
    assert not Deliver(b"x", [1]).is_keep_alive
