"""What two versions call a listener; opening them is tested with real hubs."""

from gripproxy.bus import hub_parts
from gripproxy.settings import Settings


def test_listeners_are_called_as_their_settings() -> None:
    """A later version has to know them by these names."""
    settings = Settings()
    for name in (hub_parts.PUSH, hub_parts.SUB, hub_parts.COMMAND, hub_parts.STATS, hub_parts.METRICS):
        assert hasattr(settings, name)
    assert hub_parts.CONTROL == "push_in_http"
