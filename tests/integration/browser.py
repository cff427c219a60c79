"""A real headless Chromium."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from tests.installed import require

CHROMIUM = "/usr/bin/chromium"
CHROMEDRIVER = "/usr/bin/chromedriver"
ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",  # a browser of root has no other choice
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--ignore-certificate-errors",  # those that tests make for themselves
    "--window-size=1200,1000",
)


@contextlib.contextmanager
def chromium(profile: Path) -> Iterator[Chrome]:
    """Run one with a fresh profile in this directory."""
    require(CHROMIUM, CHROMEDRIVER)
    options = ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (*ARGUMENTS, f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options, Service(CHROMEDRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def text_of(browser: Chrome, element_id: str) -> str:
    return browser.find_element(By.ID, element_id).text


def complaints(browser: Chrome) -> list[str]:
    """Give what the browser's console has of errors since the last call: broken scripts, forbidden resources."""
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
