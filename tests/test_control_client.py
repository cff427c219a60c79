"""Finding a proxy's control port, and what is said when it is not as expected."""

import argparse
import base64
import time
from pathlib import Path

import jwt
import pytest

from gripproxy.control_client import (
    ControlClient,
    ControlPortError,
    UnreachableError,
    add_arguments,
    control_url,
    find_client,
)
from gripproxy.errors import GripProxyError
from gripproxy.settings import Settings
from tests.control_site import ControlSite
from tests.integration.ports import free_ports


def options(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(arguments)


def write_config(directory: Path, *lines: str) -> str:
    path = directory / "gripproxy.conf"
    path.write_text("[runner]\nhttp_port=7999\n[handler]\n" + "".join(f"{line}\n" for line in lines))
    return str(path)


def authorization_sent(site: ControlSite, client: ControlClient) -> str | None:
    client.fetch_json("/stats")
    return site.requests[-1][1].get("authorization")


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:5561"),
        ("0.0.0.0", "http://127.0.0.1:5561"),
        ("::", "http://[::1]:5561"),
        ("10.1.2.3", "http://10.1.2.3:5561"),
    ],
)
def test_port_of_the_configuration_is_asked_from_this_host(address: str, url: str) -> None:
    """An address that means all of them is none to connect to."""
    assert control_url(Settings(push_in_http_addr=address)) == url


def test_configuration_without_a_control_port_is_named() -> None:
    """Nobody should have to guess which key it is."""
    with pytest.raises(ControlPortError, match="push_in_http_port is not set"):
        control_url(Settings(push_in_http_port=None))


def test_key_of_the_configuration_opens_the_port(tmp_path: Path) -> None:
    """Who may read the configuration need not type it."""
    with ControlSite({"/stats": (200, b"{}")}) as site:
        path = write_config(tmp_path, f"push_in_http_port={site.port}", "push_in_http_key=geheim")
        assert authorization_sent(site, find_client(options("--config", path))) == (
            "Bearer base64:" + base64.b64encode(b"geheim").decode()
        )
        assert authorization_sent(site, find_client(options("--config", path, "-B", "typed"))) == "Bearer typed"


def test_grip_url_is_taken_with_its_key_and_its_path() -> None:
    """The one that the site's publishers have in their settings."""
    with ControlSite({"/base/stats": (200, b"{}")}) as site:
        assert authorization_sent(site, find_client(options("--url", f"{site.url}/base?key=k"))) == "Bearer k"
        assert site.requests[-1][0] == "/base/stats"


def test_token_is_new_for_each_request() -> None:
    """One of the start would be out of date after an hour of looking."""
    with ControlSite({"/stats": (200, b"{}")}) as site:
        client = ControlClient(f"{site.url}?iss=me&key=change-me-change-me-change-me-ab")
        before = time.time()
        token = (authorization_sent(site, client) or "").removeprefix("Bearer ")
        claims = jwt.decode(token, b"change-me-change-me-change-me-ab", algorithms=["HS256"])
        assert claims["exp"] >= int(before) + 3600


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ((401, b"Send the key\n"), "asks for its key: give it with --bearer KEY or --url"),
        ((404, b"Not Found\n"), "is this the control port of gripproxy?"),
        ((503, b"Too many listen already.\n"), "503 Service Unavailable; Too many listen already."),
        ((200, b"<html>"), "the answer is no JSON"),
    ],
)
def test_refusal_says_what_to_do(answer: tuple[int, bytes], text: str) -> None:
    """The port answers, but not with what was asked for."""
    with ControlSite({"/stats": answer}) as site, pytest.raises(ControlPortError) as raised:
        ControlClient(site.url).fetch_json("/stats")
    assert text in str(raised.value)
    assert not isinstance(raised.value, UnreachableError)


def test_nobody_there_is_another_matter() -> None:
    """That may change: whoever looks on may wait for it."""
    (port,) = free_ports(1)
    with pytest.raises(UnreachableError, match="is gripproxy running"):
        ControlClient(f"http://127.0.0.1:{port}").fetch_json("/stats")


def test_lines_begin_with_the_answer_and_end_with_it() -> None:
    """The empty line in front tells that somebody is there, however quiet."""
    with ControlSite({"/events": (200, b"one\n\ntwo\n")}) as site:
        assert list(ControlClient(site.url).lines("/events?kind=hold", "text/plain")) == [b"", b"one", b"", b"two"]
        target, headers = site.requests[-1]
        assert (target, headers["accept"]) == ("/events?kind=hold", "text/plain")


def test_typed_token_needs_https_to_another_machine() -> None:
    """As for `gripproxy publish`: whoever listens in between could publish with it."""
    with pytest.raises(GripProxyError, match="requires https"):
        find_client(options("--url", "http://10.1.2.3:5561", "-B", "typed"))
    find_client(options("--url", "https://10.1.2.3:5561", "-B", "typed"))


@pytest.mark.parametrize("url", ["tcp://localhost:5560", "http://", "http://h:x"])
def test_url_that_is_none_is_refused_at_once(url: str) -> None:
    """Before anything is drawn."""
    with pytest.raises(GripProxyError):
        find_client(options("--url", url))
