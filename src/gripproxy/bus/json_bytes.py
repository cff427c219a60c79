"""Values to JSON, also those that not every encoder takes."""

import json

import orjson


def encode_json(value: object) -> bytes:
    """Encode on one line, without a line end. Half a pair of surrogates, from bytes that are no text, is escaped."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode()
