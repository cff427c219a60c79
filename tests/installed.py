"""Programs that a test drives: one that is missing fails the test with the command that installs it."""

import os
import shutil

import pytest

SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin"])  # not in every user's PATH


def require(*programs: str) -> None:
    """Fail the running test unless all these programs, or files by their full path, are there.

    A skipped test would look like a passed one.
    """
    missing = [program for program in programs if not shutil.which(program, os.F_OK, SEARCH_PATH)]
    if missing:
        pytest.fail(f"not installed: {', '.join(missing)}; as root run: make test-packages", pytrace=False)
