"""The relay's page for Prometheus."""

import re
from dataclasses import fields
from pathlib import Path

from gripproxy.relay.counters import Counters, encode_page

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "scale-out.md"


def test_every_counter_is_on_the_page() -> None:
    """With its name and kind, and explained in the documents."""
    counters = Counters(*range(11, 11 + len(fields(Counters))))
    page = encode_page(counters).decode()
    values = dict(re.findall(r"^gripproxy_relay_(\w+) (\d+)$", page, re.MULTILINE))
    assert sorted(values.values()) == [str(value) for value in range(11, 11 + len(fields(Counters)))]
    assert values["items_total"] == "11"
    for name in values:
        kind = "counter" if name.endswith("_total") else "gauge"
        assert f"# TYPE gripproxy_relay_{name} {kind}\n" in page
        assert f"`{name}`" in DOCUMENT.read_text()
