"""A real browser's WebSocket, through gripproxy and through Pushpin, to a site over HTTP and to WebSocket origins."""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from selenium.webdriver import Chrome

from tests.certificates import make_pair
from tests.conftest import new_server
from tests.integration.browser import chromium, complaints, text_of
from tests.integration.deadline import wait_until
from tests.integration.ports import free_ports
from tests.integration.raw_client import fetch
from tests.integration.server import GRIPPROXY, PUSHPIN, Server, ServerPlan
from tests.integration.sites.running import Sites

KEY = "changeme-and-make-it-thirty-two-bytes-long"
DEFLATE = "permessage-deflate; client_no_context_takeover; server_no_context_takeover"
WAIT_S = 60.0  # browsers and proxies wait longer and longer before they connect again to where nobody was


@dataclass(slots=True)
class Page:
    """The page that opens a WebSocket, shows what comes on it and opens it again."""

    browser: Chrome
    server: Server
    sites: Sites
    https_port: int

    def open(self, socket: str, *parameters: str, is_secure: bool = False) -> None:
        place = f"https://localhost:{self.https_port}" if is_secure else f"http://localhost:{self.server.http_port}"
        query = "&".join([f"socket={quote(socket, safe='')}", *parameters])
        self.browser.get(f"{place}/page?{query}")
        self.wait_for("opened ")

    def say(self, message: str) -> None:
        """Send a text message."""
        self.browser.execute_script("socket.send(arguments[0])", message)

    def log(self) -> list[str]:
        return text_of(self.browser, "log").splitlines()

    def wait_for(self, start: str, count: int = 1) -> None:
        """Wait for lines that begin so."""
        wait_until(lambda: self.count(start) >= count, f"{count} x {start!r}; the page has {self.log()}", WAIT_S)

    def count(self, start: str) -> int:
        return sum(line.startswith(start) for line in self.log())

    def wait_for_close(self, text: str) -> None:
        """Wait until the page says how its WebSocket was closed."""
        wait_until(lambda: text_of(self.browser, "state") == text, f"the page says {text!r}", WAIT_S)

    def publish(self, text: str, room: str) -> None:
        """Publish until it is on the page: a subscription is in place some time after its site asked for it."""

        def is_shown() -> bool:
            fetch(self.server.http_port, f"/say?channel={room}&text={quote(text)}")
            return text in self.log()

        wait_until(is_shown, f"{text!r} is on the page", WAIT_S)


@pytest.fixture(scope="module", params=[GRIPPROXY, PUSHPIN], ids=lambda kind: kind.program)
def page(request: pytest.FixtureRequest) -> Iterator[Page]:
    """A browser, a server, and the sites behind it."""
    directory = Path(tempfile.mkdtemp(prefix="gp-b-", dir="/tmp"))
    (https_port,) = free_ports(1)
    sections = {"proxy": {"sig_key": KEY}, "runner": {"allow_compression": "true", "https_ports": https_port}}
    server = new_server(ServerPlan(kind=request.param, sections=sections), directory / "s")
    make_pair(server.directory / "runner" / "certs", f"default_{https_port}", "localhost")
    sites = Sites(directory, server.control_port, KEY)
    server.plan.routes = [
        f"localhost 127.0.0.1:{sites.express_port},over_http",
        f"localhost,path_beg=/socket 127.0.0.1:{sites.express_port}",
        f"localhost,path_beg=/origin 127.0.0.1:{sites.websockets_port}",
    ]
    try:
        sites.start()
        server.start()
        with chromium(directory / "profile") as browser:
            yield Page(browser, server, sites, https_port)
    finally:
        server.stop()
        sites.stop()
        shutil.rmtree(directory, ignore_errors=True)


def test_chat_over_http(page: Page) -> None:
    """A browser in a chat whose site is plain Express: it is greeted, named, heard, published to and thrown out."""
    page.open("/chat/blue", "once")
    page.wait_for("welcome to blue")
    page.say("/name Zoë")
    page.wait_for("hello Zoë")
    page.publish("for everybody ✓", "blue")
    page.say("hi <b>all</b>")
    page.wait_for("Zoë: hi <b>all</b>")
    fetch(page.server.http_port, "/kick?channel=blue")
    page.wait_for_close("closed 4001 - clean")
    assert complaints(page.browser) == []


def test_site_over_http_restarts_unnoticed(page: Page) -> None:
    """The site is away and comes back: the browser stays connected, and what it said meanwhile arrives."""
    page.open("/chat/green")
    page.wait_for("welcome to green")
    page.publish("before", "green")
    page.sites.kill(page.sites.express_port)
    page.say("/name meanwhile")
    page.sites.restart(page.sites.express_port)
    page.wait_for("hello meanwhile")
    page.publish("after", "green")
    assert page.count("opened ") == 1


def test_echo_by_a_websocket_origin(page: Page) -> None:
    """Text, bytes, a close with a reason: as if the browser were connected to the origin itself."""
    page.open("/origin", "once", "protocol=chat.v1", "protocol=chat.v2")
    extensions = DEFLATE if page.server.plan.kind is GRIPPROXY else "-"  # Debian's Pushpin knows none
    assert page.log() == [f"opened chat.v1 {extensions}"]
    page.say("hello")
    page.wait_for("hello")
    page.browser.execute_script("socket.send(new Uint8Array([0, 255, 128]))")
    page.wait_for("bytes 0 255 128")
    page.say("ü" * 10_000)
    page.wait_for("10000 characters, the last is ü")
    page.browser.execute_script("socket.close(4007, 'so long')")
    page.wait_for_close("closed 4007 so long clean")
    assert complaints(page.browser) == []


def test_origin_publishes_to_browsers(page: Page) -> None:
    """A WebSocket origin subscribes its client; whoever publishes reaches the browser."""
    page.open("/socket?channel=red")
    page.publish("published", "red")


def test_browser_comes_back_to_a_restarted_origin(page: Page) -> None:
    """A WebSocket origin that dies takes its connections along; the page opens its own again once it is back."""
    page.open("/origin")
    page.sites.kill(page.sites.websockets_port)
    page.wait_for_close("closed 1006 - unclean")
    page.sites.restart(page.sites.websockets_port)
    page.wait_for("opened ", 2)
    page.say("again")
    page.wait_for("again")


def test_browser_comes_back_to_a_restarted_proxy(page: Page) -> None:
    """The proxy itself is restarted: the page opens its WebSocket again and is in its room again."""
    page.open("/chat/white")
    page.wait_for("welcome to white")
    page.server.stop()
    page.server.start()
    page.wait_for("welcome to white", 2)
    page.publish("welcome back", "white")


def test_both_kinds_of_origin_over_tls(page: Page) -> None:
    """wss is for the proxy alone: its origins see no difference."""
    page.open("/chat/black", is_secure=True)
    page.wait_for("welcome to black")
    page.publish("published", "black")
    page.open("/origin", is_secure=True)
    page.say("hello")
    page.wait_for("hello")
    page.say("ü" * 10_000)
    page.wait_for("10000 characters, the last is ü")
