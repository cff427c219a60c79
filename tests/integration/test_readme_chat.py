"""The chat of the README, run as it stands there."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By

from tests.integration.browser import chromium, complaints
from tests.integration.deadline import wait_until
from tests.integration.ports import can_connect, free_ports
from tests.integration.process import Process
from tests.integration.server import SOURCE_ROOT, Server, ServerPlan
from tests.integration.websocket_client import messages_until, open_websocket

PLACES = ('"http://localhost:5561"', "9000")  # the README's control port and origin's port; a test has others


@pytest.fixture
def server(start_server: Callable[[ServerPlan], Server], tmp_path: Path) -> Iterator[Server]:
    """The README's origin and route."""
    (port,) = free_ports(1)
    server = start_server(ServerPlan(routes=[f"* localhost:{port},over_http"]))
    readme = (SOURCE_ROOT / "README.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE)
    (code,) = [block for block in blocks if "decode_websocket_events" in block]
    for place, value in zip(PLACES, (f'"{server.control_uri}"', str(port)), strict=True):
        assert code.count(place) == 1
        code = code.replace(place, value)
    script = tmp_path / "chat.py"
    script.write_text(code)
    origin = Process("chat.py", [sys.executable, str(script)], tmp_path / "chat.output")
    try:
        wait_until(lambda: can_connect(port, "localhost"), f"the chat listens; it printed:\n{origin.output()}")
        yield server
    finally:
        origin.stop()


def test_everybody_gets_what_one_says(server: Server) -> None:
    """Two clients, and a close that the origin answers."""
    with (
        open_websocket(server.http_port, "/", f"localhost:{server.http_port}") as anna,
        open_websocket(server.http_port, "/", f"localhost:{server.http_port}") as ben,
    ):

        def hears() -> bool:
            anna.send("can you hear me")
            try:
                return ben.recv(timeout=0.5) == "can you hear me"
            except TimeoutError:
                return False

        wait_until(hears, "one hears the other")
        ben.send("loud and clear")
        for client in (anna, ben):
            messages_until(client, "loud and clear")
        anna.close(4000, "good night")
        assert (anna.close_code, anna.close_reason) == (4000, "good night")


def test_its_page_shows_what_is_said(server: Server, tmp_path: Path) -> None:
    """It comes through the same route, from the same origin."""
    with (
        chromium(tmp_path / "profile") as browser,
        open_websocket(server.http_port, "/", f"localhost:{server.http_port}") as anna,
    ):
        browser.get(f"http://localhost:{server.http_port}/")

        def shows() -> bool:
            anna.send("can you see me")
            return "can you see me" in browser.find_element(By.TAG_NAME, "body").text

        wait_until(shows, "the page shows what anna says")
        browser.find_element(By.NAME, "say").send_keys("I can\n")
        messages_until(anna, "I can")
        assert complaints(browser) == []
