"""Reads configuration, routes and keys again for an instance that runs: all of it takes effect, or nothing does.

It runs in a process of its own, which the supervisor forks: however long a file takes to read, nobody waits for it.
What is accepted is kept in the run directory, where the instance's processes find it.
"""

import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from gripproxy.bus.curve import read_curve_keys
from gripproxy.config_file import Overrides, read_config
from gripproxy.errors import ConfigError
from gripproxy.ini import CUT_OFF
from gripproxy.kept_settings import keep_settings
from gripproxy.routes_file import decode_routes, keep_routes, read_routes_text
from gripproxy.setting_changes import SettingChange, compare_settings, settle_settings
from gripproxy.settings import Settings
from gripproxy.signing_keys import read_publish_key, read_signing_keys, read_upstream_key
from gripproxy_worker.certificates import CertificateStore

REST_S = 0.05  # a file that was just emptied, to be written anew, would be read as one without routes
REST_MAX_COUNT = 40  # then it is taken as it is

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Reading:
    """What was read and is good."""

    settings: Settings  # that are to run: the wanted ones, as far as they can change in place
    changes: list[SettingChange]
    routes_text: str
    routes_count: int
    warnings: list[str]


class ConfigReload:
    """Reads again what the command line had read at the start. `overrides` count now as they did then.

    To be made in the supervisor's process, and called in another one.
    """

    def __init__(self, overrides: Overrides) -> None:
        self._overrides = overrides
        self._pid = os.getpid()

    def __call__(self, running: Settings, is_routes_only: bool) -> bool:
        """Read, say in the log what was found, and keep it if it is good. Tells whether it is.

        Args:
            running: the settings that run.
            is_routes_only: only the routes file has changed, and the configuration may be in the middle of an edit.
        """
        began_s = time.monotonic()
        refusal = "routes not reloaded, the old ones stay" if is_routes_only else "not reloaded, all stays as it is"
        try:
            reading = self.read(running, is_routes_only)
            keep_routes(reading.settings, reading.routes_text)
            keep_settings(reading.settings, self._pid)
        except ConfigError as error:
            log.error("%s: %s", refusal, error)
            return False
        except OSError as error:
            log.error("%s: what was read cannot be kept: %s: %s", refusal, error.filename, error.strerror)
            return False
        _report(reading, time.monotonic() - began_s)
        return True

    def read(self, running: Settings, is_routes_only: bool = False) -> Reading:
        """Read everything and change nothing.

        Raises:
            ConfigError: something is bad; names file and line.
        """
        wanted, warnings = (running, []) if is_routes_only else self._read_config(running)
        settings = settle_settings(running, wanted)
        text = _read_resting(settings) if is_routes_only else read_routes_text(settings)
        routes, route_warnings = decode_routes(settings, text)
        _, key_warnings = read_signing_keys(settings, routes.routes)
        read_upstream_key(settings)
        read_publish_key(settings)
        read_curve_keys(wanted)
        warnings = [*warnings, *route_warnings, *key_warnings, *_certificate_warnings(settings)]
        return Reading(settings, compare_settings(running, wanted), text, routes.count, warnings)

    def _read_config(self, running: Settings) -> tuple[Settings, list[str]]:
        """Read the file that was read at the start; another one that would be found now is none of ours."""
        if running.config_path is None:
            return running, []
        report = read_config(running.config_path, self._overrides)
        if report.settings is None:
            more = f" (and {len(report.errors) - 1} more; gripproxy check lists all)" if len(report.errors) > 1 else ""
            raise ConfigError(f"{report.errors[0]}{more}")
        cut_off = next((warning for warning in report.warnings if CUT_OFF in warning), None)
        if cut_off is not None:  # what should stand behind it would count as taken out
            raise ConfigError(cut_off)
        return report.settings, report.warnings


def _read_resting(settings: Settings) -> str:
    """Read the routes file when nobody writes it: that it has changed does not say that it is complete.

    Raises:
        ConfigError: it cannot be read.
    """
    text = read_routes_text(settings)
    for _ in range(REST_MAX_COUNT):
        time.sleep(REST_S)
        before, text = text, read_routes_text(settings)
        if text == before:
            break
    return text


def describe_changes(changes: Sequence[SettingChange]) -> tuple[str, str]:
    """List those that take effect in place, and those that do not."""
    in_place = ", ".join(str(change) for change in changes if not change.needs_restart)
    return in_place, ", ".join(str(change) for change in changes if change.needs_restart)


def _certificate_warnings(settings: Settings) -> list[str]:
    if not settings.https_ports:
        return []
    problems = CertificateStore(settings.certificates_directory() or "").load_all()[1]
    return [f"certificate not used: {problem}" for problem in problems]


def _report(reading: Reading, took_s: float) -> None:
    for warning in reading.warnings:
        log.warning("%s", warning)
    in_place, staying = describe_changes(reading.changes)
    if in_place:
        log.info("settings changed: %s", in_place)
    if staying:
        log.warning("settings that stay until a restart or `gripproxy upgrade`: %s", staying)
    level = logging.INFO if reading.routes_count else logging.WARNING
    log.log(level, "routes loaded with %d entries in %.1f ms", reading.routes_count, took_s * 1000)
