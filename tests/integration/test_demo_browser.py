"""The demo in a real headless Chromium: what a person sees who ran one command."""

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from tests.integration.browser import chromium, complaints, text_of
from tests.integration.deadline import wait_until
from tests.integration.ports import free_instance, free_ports
from tests.integration.process import Process
from tests.integration.raw_client import fetch
from tests.integration.server import program_argv, source_env

PUBLISH_PORTS_COUNT = 4  # from 5560 on; `--id N` moves them by 10 * N
START_TIMEOUT_S = 20.0

pytestmark = pytest.mark.gripproxy_only


class Demo:
    """A running ``gripproxy demo``."""

    def __init__(self, directory: Path) -> None:
        (self.port,) = free_ports(1)
        self.url = f"http://localhost:{self.port}/"
        self.instance = free_instance()
        argv = [*program_argv("gripproxy", "gripproxy.cli"), "demo", "--workers", "2", "--rundir", str(directory)]
        argv += ["--port", str(self.port), "--id", str(self.instance)]
        self.process = Process("gripproxy demo", argv, directory / "demo.output", source_env())

    def is_serving(self) -> bool:
        assert self.process.is_running(), f"the demo ended at start:\n{self.process.output()}"
        try:
            return b"gripproxy demo" in fetch(self.port, timeout_s=1.0)
        except (AssertionError, OSError):
            return False


@pytest.fixture
def demo(short_path: Path) -> Iterator[Demo]:
    running = Demo(short_path)
    try:
        wait_until(running.is_serving, "the demo's page is there", START_TIMEOUT_S)
        yield running
    finally:
        running.process.stop()


@pytest.fixture
def browser(short_path: Path) -> Iterator[Chrome]:
    with chromium(short_path / "profile") as running:
        yield running


def shows(browser: Chrome, element_id: str, text: str) -> Callable[[], bool]:
    return lambda: text in text_of(browser, element_id)


def publish_from_box(browser: Chrome, text: str) -> None:
    browser.find_element(By.ID, "publish-text").send_keys(text)
    browser.find_element(By.CSS_SELECTOR, "#publish-form button").click()


def test_page_shows_what_is_published_from_it(demo: Demo, browser: Chrome) -> None:
    """Box to origin to control port to bus to both holds of the same page: the whole product in one press."""
    browser.get(demo.url)
    wait_until(shows(browser, "stream-log", "stream open"), "the stream's first event is on the page")
    wait_until(shows(browser, "stream-state", "held open"), "the page says that the stream is held")
    wait_until(shows(browser, "poll-state", "waiting"), "the page says that the long-poll is held")
    assert "hello from the box" not in text_of(browser, "poll-log")

    publish_from_box(browser, "hello from the box & <b>not bold</b>")

    for log in ("stream-log", "poll-log"):
        wait_until(shows(browser, log, "hello from the box & <b>not bold</b>"), f"the item is in {log}")
    wait_until(shows(browser, "publish-result", "published to channel demo"), "the page says that it was published")

    wait_until(shows(browser, "poll-state", "waiting"), "the page polls again")
    publish_from_box(browser, "and again")
    for log in ("stream-log", "poll-log"):
        wait_until(shows(browser, log, "and again"), f"the second item is in {log}")
    assert complaints(browser) == []


def test_page_chats_over_a_websocket(demo: Demo, browser: Chrome) -> None:
    """Browser to proxy to an origin that knows HTTP only, and back by publishing: to the WebSocket, stream and poll."""
    browser.get(demo.url)
    wait_until(shows(browser, "chat-log", "socket open"), "the origin has accepted the WebSocket")
    wait_until(shows(browser, "chat-state", "held open"), "the page says that the WebSocket is held")
    wait_until(shows(browser, "stream-log", "stream open"), "the stream's first event is on the page")

    browser.find_element(By.ID, "chat-text").send_keys("said on the socket")
    browser.find_element(By.CSS_SELECTOR, "#chat-form button").click()

    for log in ("chat-log", "stream-log", "poll-log"):
        wait_until(shows(browser, log, "said on the socket"), f"what was said is in {log}")
    publish_from_box(browser, "published to all")
    wait_until(shows(browser, "chat-log", "published to all"), "the item is on the WebSocket")
    assert complaints(browser) == []


def test_page_of_another_site_cannot_chat(demo: Demo, browser: Chrome) -> None:
    """The origin lets its own pages in, and browsers tell it truly where a page is from."""
    browser.get(f"http://127.0.0.1:{demo.port}/another-site")  # by another name: for a browser, somewhere else
    browser.execute_script(
        "const socket = new WebSocket(arguments[0]); socket.onclose = ({ code }) => { document.title = code; };",
        f"ws://localhost:{demo.port}/chat?channel=demo",
    )
    wait_until(lambda: browser.title == "1006", "the browser is refused")
    wait_until(lambda: "Unexpected response code: 403" in "".join(complaints(browser)), "it was by the origin")


def test_pasted_publish_line_reaches_the_page(demo: Demo, browser: Chrome, short_path: Path) -> None:
    """The line on the page is pasted into a shell as it stands; only the program's place depends on the machine."""
    browser.get(demo.url)
    wait_until(shows(browser, "stream-log", "stream open"), "the stream's first event is on the page")
    line = text_of(browser, "line-publish")
    assert line in demo.process.output()
    shell = Process("bash", [shutil.which("bash") or "bash", "-c", line], short_path / "shell.output", source_env())
    try:
        assert shell.wait() == 0, shell.output()
    finally:
        shell.stop()
    wait_until(shows(browser, "stream-log", "hello from the terminal"), "the item is on the page")


def test_page_says_that_the_proxy_is_gone(demo: Demo, browser: Chrome) -> None:
    """The state on the page is that of the connection, not a decoration."""
    browser.get(demo.url)
    for state in ("stream-state", "chat-state"):
        wait_until(shows(browser, state, "held open"), f"the page says so in {state}")
    assert demo.process.stop() == 0
    for state in ("stream-state", "chat-state"):
        wait_until(shows(browser, state, "cut off"), f"the page says so in {state}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_stays_behind(demo: Demo, number: signal.Signals) -> None:
    """Ended by any means, the demo leaves no origin and no worker that would hold its ports."""
    demo.process.signal(number)
    assert demo.process.wait() == (-number if number == signal.SIGKILL else 0)

    def is_group_empty() -> bool:
        try:
            os.killpg(demo.process.pid, 0)
        except ProcessLookupError:
            return True
        return False

    wait_until(is_group_empty, "the last process of the demo has ended")


def test_taken_port_is_named_with_the_option_that_helps(demo: Demo, short_path: Path) -> None:
    """The likeliest trouble of a first try is a port that somebody else has."""
    argv = [*program_argv("gripproxy", "gripproxy.cli"), "demo", "--port", str(demo.port), "--id", str(demo.instance)]
    second = Process("second demo", argv, short_path / "second.output", source_env())
    try:
        assert second.wait() == 1
    finally:
        second.stop()
    assert (
        f"cannot listen on 127.0.0.1:{demo.port}: Address already in use; choose another with --port" in second.output()
    )
    first_port = 5560 + 10 * demo.instance
    ports = ", ".join(str(port) for port in range(first_port, first_port + PUBLISH_PORTS_COUNT))
    assert f"port {ports}; move them with --id {demo.instance + 1}" in second.output()
    assert sys.executable not in second.output()
