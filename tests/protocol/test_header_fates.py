"""Which header of a client goes which way."""

import pytest

from gripproxy.protocol.header_fates import (
    DROPPED,
    FORWARDED,
    GRIP,
    KEPT,
    MARKED,
    NAME_MAX_BYTES,
    NAMES_MAX_COUNT,
    NOTED,
    OVER_HTTP,
    Fate,
    HeaderFates,
)
from gripproxy.settings import ForwardedProtocol, Settings


@pytest.mark.parametrize(
    ("name", "fate"),
    [
        (b"Cookie", KEPT),
        (b"X_Custom", KEPT),
        (b"Meta", KEPT),
        (b"Gripper", KEPT),
        (b"CDN-Loop", KEPT),
        (b"Pushpin-Route", KEPT),
        (b"HOST", DROPPED),
        (b"Transfer_Encoding", DROPPED),
        (b"Grip_Hold", DROPPED),
        (b"eb9bf0f5_A", DROPPED),
        (b"Connection", NOTED),
        (b"Grip-", GRIP),
        (b"EB9BF0F5-a_b", MARKED),
        (b"meta-", OVER_HTTP),
        (b"X-Forwarded-A_b", FORWARDED),
        (b"X-Forwarded-Proto", DROPPED),
    ],
)
def test_fate_goes_by_the_name(name: bytes, fate: Fate) -> None:
    """In any letter case; with a wrong dash a name that means something is only a try to get past."""
    fates = HeaderFates(Settings())
    assert [fates[name], fates[name]] == [fate, fate]


def test_settings_decide_on_some() -> None:
    """What they say themselves, clients cannot."""
    off = HeaderFates(Settings(set_x_forwarded_protocol=ForwardedProtocol.OFF))
    assert off[b"X-Forwarded-Proto"] is FORWARDED
    accepting = Settings(set_x_forwarded_protocol=ForwardedProtocol.OFF, accept_x_forwarded_protocol=True)
    assert HeaderFates(accepting)[b"X-Forwarded-Protocol"] is DROPPED
    assert HeaderFates(Settings(accept_pushpin_route=True))[b"Pushpin-Route"] is DROPPED
    assert HeaderFates(Settings(cdn_loop="me"))[b"CDN-Loop"] is NOTED


def test_memory_of_names_is_bounded() -> None:
    """Anybody can think of more."""
    fates = HeaderFates(Settings())
    for number in range(NAMES_MAX_COUNT + 10):
        assert fates[b"X-%d" % number] is KEPT
    assert len(fates) == NAMES_MAX_COUNT
    fates.clear()
    assert fates[b"Grip-" + NAME_MAX_BYTES * b"x"] is GRIP
    assert not fates
