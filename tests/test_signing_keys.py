"""Reading the keys that settings and routes name."""

from pathlib import Path

import pytest

from gripproxy.errors import ConfigError
from gripproxy.protocol.grip_sig import SigKey
from gripproxy.protocol.route import Route
from gripproxy.protocol.routes import parse_routes
from gripproxy.settings import Settings
from gripproxy.signing_keys import read_publish_key, read_signing_keys, read_upstream_key


def routes(text: str) -> tuple[Route, ...]:
    return parse_routes(text, "routes")[0].routes


def test_keys_are_found_by_the_text_of_their_setting(tmp_path: Path) -> None:
    """Ten routes with one key read it once; a relative path counts from the routes file."""
    (tmp_path / "key").write_text("6162\n")
    settings = Settings(sig_key="changeme", routesfile=str(tmp_path / "routes"))
    keys, warnings = read_signing_keys(settings, routes("a,sig_key=file:key test\nb,sig_key=changeme test\nc test"))
    assert keys == {"changeme": SigKey(b"changeme"), "file:key": SigKey(b"ab")}
    assert warnings == []


def test_bad_key_of_a_route_is_a_warning() -> None:
    """The other routes go on working."""
    keys, warnings = read_signing_keys(Settings(), routes("a,sig_key=base64:A,id=r test\nb,sig_key= test"))
    assert keys == {}
    assert warnings == ["route r: sig_key: key is not valid base64 behind base64:; its requests go without Grip-Sig"]


def test_bad_key_of_the_settings_refuses_the_start(tmp_path: Path) -> None:
    """All requests would go unsigned; the file is named."""
    missing = tmp_path / "missing"
    with pytest.raises(ConfigError, match=f"^{missing}: sig_key: cannot read the key file: No such file"):
        read_signing_keys(Settings(sig_key=f"file:{missing}"), ())
    missing.write_text("no hex")
    with pytest.raises(ConfigError, match=f"^{missing}: sig_key: key file holds neither PEM nor hex"):
        read_signing_keys(Settings(sig_key=f"file:{missing}"), ())


def test_upstream_key_is_read_or_refuses_the_start(tmp_path: Path) -> None:
    """Without it, a chain of proxies does not work; an empty setting trusts nobody."""
    assert read_upstream_key(Settings()) is None
    assert read_upstream_key(Settings(upstream_key="k")) == SigKey(b"k")
    path = tmp_path / "key"
    with pytest.raises(ConfigError, match=f"^{path}: upstream_key: cannot read the key file: No such file"):
        read_upstream_key(Settings(upstream_key=f"file:{path}"))
    path.write_text("")
    with pytest.raises(ConfigError, match="upstream_key: key is empty"):
        read_upstream_key(Settings(upstream_key=f"file:{path}"))
    with pytest.raises(ConfigError, match="upstream_key: key is empty"):
        read_upstream_key(Settings(upstream_key="base64:"))


def test_device_without_an_end_is_no_key() -> None:
    """And is not read to it."""
    with pytest.raises(ConfigError, match="/dev/zero: sig_key: key file holds neither PEM nor hex"):
        read_signing_keys(Settings(sig_key="file:/dev/zero"), ())


def test_path_that_is_none_is_a_warning() -> None:
    """A NUL ends paths elsewhere."""
    _, warnings = read_signing_keys(Settings(), routes('a,"sig_key=file:a\0b",id=r test'))
    assert warnings == [
        "route r: a\0b: sig_key: cannot read the key file: embedded null byte; its requests go without Grip-Sig"
    ]


def test_publish_key_is_optional_and_named_in_its_refusal(tmp_path: Path) -> None:
    """Without one everybody may publish; one that cannot be used must not come to the same."""
    assert read_publish_key(Settings()) is None
    assert read_publish_key(Settings(push_in_http_key="base64:YWI=")) == SigKey(b"ab")
    with pytest.raises(ConfigError, match="push_in_http_key: cannot read the key file"):
        read_publish_key(Settings(push_in_http_key=f"file:{tmp_path}/none"))
