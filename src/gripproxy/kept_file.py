"""Files in the run directory that other processes read while they may be replaced."""

import contextlib
import os


def write_kept_file(path: str, text: str | None, mode: int = 0o600) -> None:
    """Put a text in place of what was kept, whole or not at all; None forgets it.

    Args:
        mode: for a new file; routes and settings may hold keys, which are nobody else's.

    Raises:
        OSError: it cannot be written.
    """
    if text is None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return
    new_path = f"{path}.{os.getpid()}"
    try:
        with open(os.open(new_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(new_path, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(new_path)
        raise


def read_kept_file(path: str, max_chars: int) -> str | None:
    """Give what was kept, None if nothing was that can be read."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(max_chars)
    except (OSError, UnicodeDecodeError):
        return None
