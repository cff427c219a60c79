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


def test_no_terminal_obeys_it() -> None:
    """One character is enough to begin a command: U+009B is what ESC [ is."""
    value = {"\x1b\x7f\x80": "\u009b31m\u2028é"}
    line = encode_json(value)
    assert line.decode().isprintable()
    assert json.loads(line) == value
    assert encode_json("\x7f") == b'"\\u007f"'
