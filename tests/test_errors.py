"""Errors say who is at fault and where."""

import pytest

from gripproxy.errors import (
    ClientError,
    ConfigError,
    FilterError,
    GripProxyError,
    InternalError,
    OriginError,
    PatchError,
    PublishError,
)


@pytest.mark.parametrize(
    "error_class", [ClientError, OriginError, PublishError, FilterError, PatchError, ConfigError, InternalError]
)
def test_every_error_can_be_caught_as_ours(error_class: type[GripProxyError]) -> None:
    """A caller that only wants to report and go on needs one name."""
    with pytest.raises(GripProxyError, match="the reason"):
        raise error_class("the reason")


def test_client_error_carries_the_status_of_its_answer() -> None:
    """Most breaches are a 400; the others say so where they are found."""
    assert ClientError("bad").status == 400
    assert ClientError("too long", 431).status == 431


def test_client_error_has_a_text_for_the_log() -> None:
    """What the client may be shown of its own request, the log's readers may not."""
    assert ClientError("bad").log_text == "bad"
    assert ClientError("bad: 'password'", log_text="bad").log_text == "bad"


@pytest.mark.parametrize(
    ("path", "line", "text"),
    [
        (None, None, "not a port: 'x'"),
        ("my.conf", None, "my.conf: not a port: 'x'"),
        ("my.conf", 12, "my.conf:12: not a port: 'x'"),
    ],
)
def test_config_error_says_where(path: str | None, line: int | None, text: str) -> None:
    """In the form that editors make a link of."""
    assert str(ConfigError("not a port: 'x'", path, line)) == text
