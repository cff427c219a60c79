"""Lets new settings and keys take effect in the hub while it serves."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from gripproxy import logs
from gripproxy.bus.curve import CurveKeys, read_curve_keys
from gripproxy.errors import ConfigError
from gripproxy.kept_settings import read_kept_settings
from gripproxy.protocol.grip_sig import SigKey
from gripproxy.settings import Settings
from gripproxy.signing_keys import read_publish_key

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NewSettings:
    """Settings, with the keys that they name."""

    settings: Settings
    publish_key: SigKey | None
    curve_keys: CurveKeys | None


Use = Callable[[NewSettings], None]


class HubReload:
    """Does what SIGHUP asks for. The supervisor has had everything checked, and kept for all processes to read.

    Whoever goes by settings that can change in place adds himself.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._users: list[Use] = []

    def add(self, use: Use) -> None:
        """Call `use` when there are other settings."""
        self._users.append(use)

    def run(self) -> None:
        """Use what is kept now. If it cannot be read here, as it could before, nothing changes."""
        try:
            new = _read(self._settings)
        except ConfigError as error:
            log.error("settings not taken, the old ones stay: %s", error)
            return
        self._settings = new.settings
        logs.use(new.settings.log_level, new.settings.log_format == "json")
        for use in self._users:
            try:
                use(new)
            except Exception:  # a bug of ours: the others are other parts
                log.exception("internal error while taking new settings")
        log.debug("settings taken")


def _read(running: Settings) -> NewSettings:
    """Read what is kept.

    Raises:
        ConfigError: it cannot be read, or a key cannot.
    """
    settings = read_kept_settings(running)
    if settings is None:
        raise ConfigError(f"what was kept in {running.rundir} cannot be read")
    return NewSettings(settings, read_publish_key(settings), read_curve_keys(settings))
