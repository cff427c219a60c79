"""What happens on a machine without the programs that tests drive."""

import pytest

from tests.installed import require


def test_missing_program_fails_with_the_command_that_installs_it() -> None:
    """Whoever runs the tests for the first time reads this line, not a traceback; and it is no skip."""
    with pytest.raises(
        pytest.fail.Exception, match="not installed: no-such-program, /no/such/file; as root run: make test-p"
    ):
        require("sh", "no-such-program", "/no/such/file")


def test_programs_that_are_there_are_no_failure() -> None:
    """By name, and by full path also when it is no program."""
    require("sh", "/etc/passwd")
