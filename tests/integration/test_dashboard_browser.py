"""The dashboard in a real headless Chromium, beside a proxy with clients and publishers."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from tests.conftest import StartServer
from tests.integration.browser import chromium, complaints, text_of
from tests.integration.deadline import wait_until
from tests.integration.raw_client import RawClient, fetch
from tests.integration.server import Server, ServerPlan

KEY = "the key of the control port"
SHOWN_S = 30.0  # a browser on a busy machine takes its time
NAME = "<img src=x onerror=alert(1)>"  # of a channel

pytestmark = pytest.mark.gripproxy_only


@pytest.fixture
def browser(short_path: Path) -> Iterator[Chrome]:
    with chromium(short_path / "profile") as running:
        yield running


def tile(browser: Chrome, name: str) -> str:
    return browser.find_element(By.CSS_SELECTOR, f"#tile-{name} b").text


def points(browser: Chrome, chart: str, line: int = 0) -> list[tuple[float, float]]:
    """Give the points of a chart's line, as they are drawn."""
    lines = browser.find_elements(By.CSS_SELECTOR, f"#chart-{chart} polyline")
    pairs = (lines[line].get_attribute("points") or "").split()
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in pairs)]


def shows(what: Callable[[], object], name: str) -> None:
    wait_until(what, name, SHOWN_S)


def is_live(browser: Chrome) -> bool:
    return text_of(browser, "state") == "live"


def hold(server: Server, count: int, channel: str) -> list[RawClient]:
    clients = [RawClient(server.http_port) for _ in range(count)]
    for client in clients:
        client.get(f"/stream?channel={channel}")
        client.receive_until(b"[stream opened]")
    return clients


def test_figures_and_charts_follow_what_happens(start_server: StartServer, browser: Chrome) -> None:
    """Without a reload: holds, items and deliveries show up in tiles, lines and tables a moment later."""
    server = start_server(ServerPlan(routes=["*,id=shop test"]))
    browser.get(f"{server.control_uri}/dashboard")
    shows(lambda: tile(browser, "streams") == "0" and is_live(browser), "the page has figures")
    clients = hold(server, 3, "news")
    try:
        shows(lambda: tile(browser, "streams") == "3", "the tile has the streams")

        def has_deliveries() -> bool:
            server.publish_stream("news", "x\n")
            server.publish_stream(NAME, "x\n")
            return tile(browser, "deliveries") not in ("–", "0") and tile(browser, "items") not in ("–", "0")

        shows(has_deliveries, "the tiles have items and deliveries")

        def is_line_moving() -> bool:
            server.publish_stream("news", "x\n")
            drawn = points(browser, "deliveries")
            return len(drawn) > 2 and len({y for _, y in drawn}) > 1

        shows(is_line_moving, "the line of deliveries goes up")
        xs = [x for x, _ in points(browser, "deliveries")]
        assert xs == sorted(xs)
        shows(lambda: len(points(browser, "write", line=1)) > 1, "latencies have a line")

        def has_channels() -> bool:
            server.publish_stream("news", "x\n")
            server.publish_stream(NAME, "x\n")
            return {"news", NAME} <= set(text_of_names(browser, "channels"))

        shows(has_channels, "the busiest channels are there, as text")
        shows(lambda: text_of_names(browser, "routes") == ["shop"], "the route is there")
        names = text_of_names(browser, "processes")
        assert names[::2] == ["hub", "worker 0", "worker 1"]
        assert set(names[1::2]) == {"ready"}
        assert complaints(browser) == []
    finally:
        for client in clients:
            client.close()


def text_of_names(browser: Chrome, table: str) -> list[str]:
    """Read a table's names in one go: its rows are made anew each second."""
    script = "return [...document.querySelectorAll(`#${arguments[0]} td.name`)].map((cell) => cell.textContent)"
    return list(browser.execute_script(script, table))


def test_events_are_followed_while_the_button_says_so(start_server: StartServer, browser: Chrome) -> None:
    """Requests, holds and publishes as they happen, those of a channel if one is named."""
    server = start_server(ServerPlan(routes=["* test"]))
    browser.get(f"{server.control_uri}/dashboard")
    browser.find_element(By.ID, "event-channel").send_keys("room-*")
    browser.find_element(By.ID, "event-button").click()

    def has_line() -> bool:
        fetch(server.http_port, "/")
        server.publish_stream("other", "x")
        server.publish_stream("room-7", "x")
        return "publish channel=room-7 receivers=0" in text_of(browser, "events")

    shows(has_line, "the item is told")
    assert "other" not in text_of(browser, "events")
    assert text_of(browser, "event-note") == "Following."
    browser.find_element(By.ID, "event-button").click()
    shows(lambda: "Not followed any more" in text_of(browser, "event-note"), "the page stops following")
    assert complaints(browser) == []


def give_key(browser: Chrome, key: str) -> None:
    shows(lambda: browser.find_element(By.ID, "key-form").is_displayed(), "the key is asked for")
    browser.find_element(By.ID, "key").send_keys(key)
    browser.find_element(By.CSS_SELECTOR, "#key-form button").click()


def test_key_is_asked_for_once_in_a_tab(start_server: StartServer, browser: Chrome) -> None:
    """A wrong one is said to be wrong; a right one lasts as long as the tab, and opens the events too."""
    server = start_server(ServerPlan(routes=["* test"], sections={"handler": {"push_in_http_key": KEY}}))
    browser.get(f"{server.control_uri}/dashboard")
    give_key(browser, "wrong")
    shows(lambda: "That key is not right" in text_of(browser, "key-note"), "the page says that it is wrong")
    give_key(browser, KEY)
    shows(lambda: is_live(browser), "the right key opens the page")
    assert not browser.find_element(By.ID, "key-form").is_displayed()
    browser.refresh()
    shows(lambda: is_live(browser), "the key is still there")
    assert KEY not in browser.current_url
    browser.find_element(By.ID, "event-button").click()
    shows(lambda: text_of(browser, "event-note") == "Following.", "events are open as well")


def test_page_says_that_the_proxy_is_gone_and_goes_on_when_it_is_back(
    start_server: StartServer, browser: Chrome
) -> None:
    """Old figures must not pass for those of now."""
    server = start_server(ServerPlan(routes=["* test"]))
    browser.get(f"{server.control_uri}/dashboard")
    shows(lambda: is_live(browser), "the page has figures")
    server.stop()
    shows(lambda: text_of(browser, "state").startswith("no figures"), "the page says so")
    server.start()
    shows(lambda: is_live(browser), "the page goes on")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_is_light_or_dark_as_its_reader_likes(start_server: StartServer, browser: Chrome, scheme: str) -> None:
    """Ground and ink change places."""
    server = start_server(ServerPlan(routes=["* test"]))
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.get(f"{server.control_uri}/dashboard")
    script = "const style = getComputedStyle(document.body); return [style.backgroundColor, style.color]"
    ground, ink = (brightness(color) for color in browser.execute_script(script))
    assert (ground > ink) == (scheme == "light")


def brightness(color: str) -> int:
    """Add up the parts of ``rgb(R, G, B)``."""
    return sum(int(part) for part in color.removeprefix("rgb(").removesuffix(")").split(","))
