"""The loads that servers are put under."""

from benchmarks.publish_latency import Load, loads_of


def test_loads_are_parts_of_the_maximum() -> None:
    """gripproxy gets these very loads beside the rival whose maximum it is; the case names both."""
    assert loads_of("pushpin", 20_000.0, (10, 90)) == [
        Load("10% of pushpin's maximum, 2,000/s", 2000.0),
        Load("90% of pushpin's maximum, 18,000/s", 18_000.0),
    ]
