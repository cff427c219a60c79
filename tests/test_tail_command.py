"""`gripproxy tail` against a control port that answers what a test says."""

import json
import threading
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from gripproxy import tail_command
from gripproxy.tail_command import main
from tests.control_site import ControlSite
from tests.integration.ports import free_ports

LINES = b"first\n\nsecond\n"


@pytest.fixture
def site() -> Iterator[ControlSite]:
    with ControlSite({"/events": (200, LINES)}) as running:
        yield running


def test_lines_are_printed_as_they_are(site: ControlSite, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Without the empty ones, which only keep the connection alive."""
    assert main(["--url", site.url, "--count", "2"]) == 0
    assert capfdbinary.readouterr().out == b"first\nsecond\n"


def test_filters_go_to_the_proxy(site: ControlSite) -> None:
    """What nobody wants to see is not even made."""
    arguments = ["--channel", "room-*", "--channel", "a&b", "--route", "shop", "--kind", "hold", "--json"]
    assert main(["--url", site.url, "-n1", *arguments]) == 0
    target, headers = site.requests[0]
    query = parse_qs(urlsplit(target).query)
    assert query == {"channel": ["room-*", "a&b"], "route": ["shop"], "kind": ["hold"]}
    assert headers["accept"] == "application/x-ndjson"


def test_proxy_that_restarts_is_followed_again(
    site: ControlSite, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its stream ends, and a moment later there is another one."""
    monkeypatch.setattr(tail_command, "RETRY_S", 0.0)
    assert main(["--url", site.url, "--count", "3"]) == 0
    shown = capfd.readouterr()
    assert shown.out == "first\nsecond\nfirst\n"
    assert "the proxy ended the stream; trying again" in shown.err


def test_proxy_that_was_never_there_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    """A wrong address would be waited for in vain."""
    (port,) = free_ports(1)
    assert main(["--url", f"http://127.0.0.1:{port}"]) == 1
    assert capfd.readouterr().err.startswith("gripproxy tail: error: ")


def test_refusal_ends_it_also_later(site: ControlSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that was changed will not change back."""
    monkeypatch.setattr(tail_command, "RETRY_S", 0.0)
    asked = threading.Event()

    def pause(_: float) -> None:
        site.answers["/events"] = (401, json.dumps({}).encode())
        asked.set()

    monkeypatch.setattr(tail_command.time, "sleep", pause)
    assert main(["--url", site.url]) == 1
    assert asked.is_set()


@pytest.mark.parametrize("arguments", [["--count", "0"], ["--count", "x"], ["--kind", "requests"]])
def test_bad_usage_is_status_2(arguments: list[str]) -> None:
    """As argparse does it."""
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2
