"""JSON of whatever names clients and publishers chose."""

import json

import pytest

from gripproxy.bus.json_bytes import encode_json


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None, "\u00e9"]}, {"name": "half \ud83d"}, {"\udcff": ["\udcff"]}])
def test_everything_comes_back_as_it_was(value: object) -> None:
    """A name that no encoder takes must not stop those who look at all the others."""
    line = encode_json(value)
    assert b"\n" not in line
    assert json.loads(line) == value
