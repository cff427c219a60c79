"""Values to JSON, also those that not every encoder takes, and fit for a terminal."""

import json

import orjson

from gripproxy.logs import printable_json


def encode_json(value: object) -> bytes:
    """Encode on one line, without a line end. Half a pair of surrogates, from bytes that are no text, is escaped.

    So is what a terminal would obey: `gripproxy tail --json` and curl show names that clients chose.
    """
    try:
        data = orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode()
    return printable_json(data)
