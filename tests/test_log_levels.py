"""Log levels as they are written down."""

import pytest

from gripproxy.log_levels import LogLevels, decode_log_levels


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("3", LogLevels.all(3)),
        ("9", LogLevels.all(9)),
        ("1,proxy:3", LogLevels(supervisor=1, hub=1, worker=3)),
        ("pushpin-handler:0,1", LogLevels(supervisor=1, hub=0, worker=1)),
        ("hub:0,worker:1,supervisor:3", LogLevels(supervisor=3, hub=0, worker=1)),
        ("runner:1", LogLevels(supervisor=1)),
        ("zurl:0,condure:0,x:0", LogLevels()),
    ],
)
def test_names_stand_for_who_does_their_work(text: str, levels: LogLevels) -> None:
    """A list that quiets Pushpin's handler must quiet what does its work here; unknown names are no mistake there."""
    assert decode_log_levels(text.split(",")) == levels


@pytest.mark.parametrize(
    ("component", "reason"),
    [
        ("", "log level component cannot be empty"),
        (":1", "log level component name cannot be empty"),
        ("-1", "log level must be greater than or equal to 0"),
        ("proxy:-1", "log level for service proxy must be greater than or equal to 0"),
        ("high", "log level must be a whole number, not 'high'"),
        ("proxy:", "log level must be a whole number, not ''"),
    ],
)
def test_bad_component_is_refused(component: str, reason: str) -> None:
    """In the reference's words where it has them."""
    with pytest.raises(ValueError) as error:
        decode_log_levels(["2", component])
    assert str(error.value) == reason


def test_level_of_a_process() -> None:
    """Workers differ in their numbers only."""
    levels = LogLevels(supervisor=1, hub=2, worker=3)
    assert [levels.of(name) for name in ("supervisor", "hub", "worker 12")] == [1, 2, 3]
