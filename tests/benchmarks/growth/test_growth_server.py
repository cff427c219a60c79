"""What the origin answers with, and how its channels are numbered."""

import re
from pathlib import Path

from benchmarks.growth.growth_server import GrowthOrigin, GrowthServer, name_of_group


def test_channels_are_numbered_group_by_group() -> None:
    """The publisher goes by number, the origin by group: both must mean the same channel."""
    name_of = name_of_group(3)
    assert [name_of(number) for number in (0, 2, 3, 7)] == ["c0.0", "c0.2", "c1.0", "c2.1"]


def test_origin_names_every_channel_in_lines_that_nginx_takes(tmp_path: Path) -> None:
    """nginx refuses a configured value of 4,096 bytes or more."""
    block = GrowthOrigin(tmp_path, subscriptions=1000).server_block()
    values = re.findall(r'Grip-Channel "([^"]*)"', block)
    assert max(map(len, values)) < 4096
    assert ",".join(values).split(",") == [f"${{arg_c}}.{number}" for number in range(1000)]


def test_limits_of_the_other_benchmarks_are_replaced(tmp_path: Path) -> None:
    """A limit of 20 subscriptions, as Pushpin ships it, would make every curve past it flat."""
    text = GrowthServer(tmp_path, 80, workers=7, connections_max=50_000).write_config("").read_text()
    assert "workers=7\n" in text
    assert "client_maxconn=51000\n" in text
    assert "connection_subscription_max=1000\n" in text
