"""Files with keys."""

from pathlib import Path

import pytest

from gripproxy.errors import ConfigError
from gripproxy.key_file import KEY_FILE_MAX_BYTES, read_key_file


def test_relative_path_counts_from_the_directory(tmp_path: Path) -> None:
    """A routes file names the keys that lie beside it."""
    (tmp_path / "my.key").write_bytes(b"\xff01\n")
    assert read_key_file("sig_key", "my.key", str(tmp_path)) == b"\xff01\n"
    assert read_key_file("sig_key", str(tmp_path / "my.key"), "/nowhere") == b"\xff01\n"


def test_device_without_end_is_not_read_for_ever() -> None:
    """Whatever is no key is refused by whoever wants one."""
    assert len(read_key_file("sig_key", "/dev/zero")) == KEY_FILE_MAX_BYTES


@pytest.mark.parametrize(
    ("path", "reason"), [("/nowhere/my.key", "No such file or directory"), ("a\0b", "embedded null byte")]
)
def test_refusal_says_which_setting_and_why(path: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"sig_key: cannot read the key file: {reason}"):
        read_key_file("sig_key", path)
