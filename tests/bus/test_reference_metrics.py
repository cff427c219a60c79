"""Pushpin's five metrics: what they count here, and every byte of them."""

from gripproxy.bus.reference_metrics import reference_lines
from gripproxy.protocol.telemetry import Traffic
from gripproxy.scoreboard import Field, Scoreboard


def rows(*fields: dict[Field, int]) -> list[list[int]]:
    scoreboard = Scoreboard(len(fields) - 1)
    for index, values in enumerate(fields):
        for field, value in values.items():
            scoreboard.row(index)[field] = value
    return [list(scoreboard.row(index)) for index in range(len(fields))]


def columns(connections: int, connections_max: int, minutes: int) -> list[int]:
    values = [0] * len(Traffic)
    values[Traffic.CONNECTIONS], values[Traffic.CONNECTIONS_MAX] = connections, connections_max
    values[Traffic.MINUTES] = minutes
    return values


def test_they_are_there_before_anything_happened() -> None:
    """As Pushpin 1.36 has them, a prefix before each name."""
    text = "\n".join(reference_lines(rows({}, {}), {}, "px_"))
    assert text == (
        "# HELP px_request_received Number of requests received\n"
        "# TYPE px_request_received counter\n"
        "px_request_received 0\n"
        "# HELP px_connection_connected Number of concurrent connections\n"
        "# TYPE px_connection_connected gauge\n"
        "px_connection_connected 0\n"
        "# HELP px_connection_minute Number of minutes clients have been connected\n"
        "# TYPE px_connection_minute counter\n"
        "px_connection_minute 0\n"
        "# HELP px_message_received Number of messages received by the publish API\n"
        "# TYPE px_message_received counter\n"
        "px_message_received 0\n"
        "# HELP px_message_sent Number of messages sent to clients\n"
        "# TYPE px_message_sent counter\n"
        "px_message_sent 0"
    )


def values(lines: list[str]) -> list[int]:
    return [int(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")]


def test_workers_and_routes_are_added_up() -> None:
    """Items are counted once, by the hub; what workers got of them over the bus is something else."""
    hub = {Field.ITEMS_RECEIVED: 50, Field.ITEMS_SENT: 40, Field.REQUESTS: 1000}
    workers = (
        {Field.REQUESTS: 3, Field.RECEPTIONS: 7, Field.ITEMS_RECEIVED: 40},
        {Field.REQUESTS: 4, Field.RECEPTIONS: 8, Field.ITEMS_RECEIVED: 40},
    )
    routes = {"": columns(1, 5, 10), "news": columns(2, 6, 20)}
    assert values(reference_lines(rows(hub, *workers), routes)) == [7, 11, 30, 40, 15]
    # Without reports the most at once would be that since the start.
    assert values(reference_lines(rows(hub, *workers), routes, has_reports=False)) == [7, 3, 30, 40, 15]


def test_they_are_32_bits_wide() -> None:
    """Who reads Pushpin's numbers as such may not take more."""
    lines = reference_lines(rows({Field.ITEMS_SENT: 2**32 - 1}, {Field.RECEPTIONS: 2**32 + 5}), {})
    assert values(lines) == [0, 0, 0, 2**32 - 1, 5]
