"""What is read from the kernel about the machine."""

from benchmarks.machine import tcp_memory_bytes, tcp_pages

SOCKSTAT = """sockets: used 1210
TCP: inuse 40 orphan 2 tw 11 alloc 200 mem 397
UDP: inuse 3 mem 5
"""


def test_pages_of_tcp_are_not_those_of_others() -> None:
    """What the kernel holds for clients that do not read is reported beside the server's own memory."""
    assert tcp_pages(SOCKSTAT) == 397


def test_this_kernel_says_it_too() -> None:
    """Another layout of the file would stop a long run half-way."""
    assert tcp_memory_bytes() >= 0
