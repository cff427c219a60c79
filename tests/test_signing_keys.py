"""Reading the keys that settings and routes name."""

from pathlib import Path

import pytest

from gripproxy.errors import ConfigError
from gripproxy.protocol.grip_sig import SigKey
from gripproxy.protocol.route import Route
from gripproxy.protocol.routes import parse_routes
from gripproxy.settings import Settings
from gripproxy.signing_keys import read_signing_keys


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
