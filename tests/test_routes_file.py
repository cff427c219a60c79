"""Where routes come from, at start and on a reload."""

from pathlib import Path

import pytest

from gripproxy.errors import ConfigError
from gripproxy.routes_file import read_routes
from gripproxy.settings import Settings


def test_lines_of_the_command_line_count_without_a_file() -> None:
    """Warnings number them."""
    table, warnings = read_routes(Settings(routes=("* a:1", "b")))
    assert table.count == 1
    assert warnings == ["<route>:2: must specify condition and at least one target"]


def test_file_is_read_with_its_byte_order_mark_and_line_ends(tmp_path: Path) -> None:
    """Editors of other systems write both."""
    path = tmp_path / "routes"
    path.write_bytes(b"\xef\xbb\xbf* a:1\r\nb a:x\r\n")
    table, warnings = read_routes(Settings(routesfile=str(path)))
    assert [route.domain for route in table.routes] == ["*"]
    assert warnings == [f"{path}:2: target invalid port: 'a:x' is not HOST:PORT with a port from 1 to 65535"]


def test_missing_file_at_start_is_a_warning(tmp_path: Path) -> None:
    """The proxy starts without routes, as the reference does, and a reload may find them."""
    table, warnings = read_routes(Settings(routesfile=str(tmp_path / "routes")))
    assert table.count == 0
    assert warnings == [f"unable to open routes file: {tmp_path}/routes (No such file or directory)"]


def test_unreadable_file_on_a_reload_is_an_error(tmp_path: Path) -> None:
    """The caller keeps the routes there are."""
    with pytest.raises(ConfigError, match="unable to open routes file"):
        read_routes(Settings(routesfile=str(tmp_path)), is_reload=True)
    path = tmp_path / "routes"
    path.write_bytes(b"* a:1 # \xff")
    with pytest.raises(ConfigError, match="it is not UTF-8"):
        read_routes(Settings(routesfile=str(path)), is_reload=True)


def test_device_without_an_end_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"unable to open routes file: /dev/zero \(more than 67108864 characters\)"):
        read_routes(Settings(routesfile="/dev/zero"), is_reload=True)
