"""Reads files with keys, which settings and options name by ``file:PATH``."""

import os

from gripproxy.errors import ConfigError

KEY_FILE_MAX_BYTES = 65_536  # the largest key in PEM has some thousand; a device has no end


def read_key_file(name: str, path: str, directory: str = "") -> bytes:
    """Read a key file. A relative path counts from `directory`, or from the working directory.

    Args:
        name: of the setting or option, for the refusal.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        with open(os.path.join(directory, path), "rb") as file:
            return file.read(KEY_FILE_MAX_BYTES)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{name}: cannot read the key file: {reason}", path) from error
