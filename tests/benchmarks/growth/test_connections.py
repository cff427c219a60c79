"""What the largest steps ask of the kernel."""

from benchmarks.growth.connections import kernel_needs


def test_a_million_needs_files_for_both_ends_and_few_ports() -> None:
    """All clients connect to one port, from addresses that have 20,000 of them each."""
    needs = kernel_needs(1_000_000, 59)
    assert needs["fs.file-max"][0] > 2_000_000
    assert needs["net.ipv4.ip_local_port_range"][0] < 60_000
