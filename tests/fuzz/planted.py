"""A target with a fault, for the test that fuzzing finds faults."""

from gripproxy.protocol.header_params import split_list


def fragile(data: bytes) -> None:
    """Break at a list of three parts, the second of which is empty."""
    parts = split_list(data)
    assert len(parts) != 3 or parts[1]
