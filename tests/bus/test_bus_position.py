"""Points on the bus, compared as two workers compare them that are about to move connections."""

import pytest

from gripproxy.bus.bus_position import BusPosition
from gripproxy.errors import InternalError


@pytest.mark.parametrize(
    ("one", "other", "is_before"),
    [
        ((1, 5, 0), (1, 6, 0), True),
        ((1, 6, 0), (1, 5, 0), False),
        ((1, 5, 0), (1, 5, 1), True),
        ((1, 5, 3), (1, 6, 0), True),
        ((1, 5, 2), (1, 5, 2), False),
        ((1, 5, None), (1, 5, 2), False),
        ((1, 5, 2), (1, 5, None), False),
    ],
)
def test_items_and_then_notices_make_the_order(
    one: tuple[int, int, int | None], other: tuple[int, int, int | None], is_before: bool
) -> None:
    """Notices count from the last item; who has had none yet cannot know how many others have seen."""
    assert BusPosition(*one).is_before(BusPosition(*other)) is is_before


def test_places_on_two_hubs_are_never_the_same() -> None:
    assert BusPosition(1, 5, 0).is_at(BusPosition(1, 5, None))
    assert not BusPosition(1, 5, 0).is_at(BusPosition(2, 5, 0))
    assert not BusPosition(1, 5, 0).is_at(BusPosition(1, 5, 1))
    assert not BusPosition(1, 5, 0).is_at(BusPosition(1, 4, 0))


def test_it_crosses_to_another_process() -> None:
    position = BusPosition(7, 9, None)
    assert BusPosition.decode(list(position.encode())) == position
    assert BusPosition.decode([7, 9, None, "of a later version"]) == position
    with pytest.raises(InternalError, match="damaged"):
        BusPosition.decode([7])
    with pytest.raises(InternalError, match="damaged"):
        BusPosition.decode(None)
