"""Tagged netstrings: ``LENGTH:PAYLOAD TYPE``, what publishers and control clients send over ZeroMQ."""

import math
from collections.abc import Callable
from typing import Final

LENGTH_DIGITS_MAX_COUNT = 9  # one more digit would be a gigabyte: nobody sends that, and no buffer holds it
DEPTH_MAX_COUNT = 128  # an item needs 4 levels; the rest is for body-patch values, and far below Python's own limit
INT_MIN, INT_MAX = -(2**63), 2**63 - 1

# Most lengths have one digit or two. Looking those up, colon and all, takes half the time of finding the
# colon, checking the digits and converting them.
_SHORT: Final = {b"%d:" % length: length for length in range(100)}

_COMMA, _HASH, _CARET, _BANG, _TILDE, _BRACE, _BRACKET = b",#^!~}]"
_CONTAINERS = b"}]"


def encode(value: object) -> bytes:
    """Encode bytes, str (as UTF-8), bool, int, float, None, list, tuple and dict (keys str or bytes).

    Raises:
        TypeError: a value of another type.
    """
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"%d:%s," % (len(value), value)
    if value is None:
        return b"0:~"
    if isinstance(value, bool):
        return b"4:true!" if value else b"5:false!"
    if isinstance(value, int):
        text = b"%d" % value
        return b"%d:%s#" % (len(text), text)
    if isinstance(value, float):
        text = repr(value).encode()
        return b"%d:%s^" % (len(text), text)
    if isinstance(value, dict):
        text = b"".join([encode(part) for pair in value.items() for part in pair])
        return b"%d:%s}" % (len(text), text)
    if isinstance(value, (list, tuple)):
        text = b"".join([encode(part) for part in value])
        return b"%d:%s]" % (len(text), text)
    raise TypeError(f"tnetstring has no type for {type(value).__name__}")


def decode(data: bytes) -> object:
    """Decode the first complete value; bytes after it are ignored, as the reference does.

    Strings stay bytes. Map keys become str (bytes that are not UTF-8: U+FFFD); of equal keys the last one counts.

    Raises:
        ValueError: cut off, unknown type, a map key that is not a string, a number that is none or does not fit
            64 bits, or more than DEPTH_MAX_COUNT levels.
    """
    return _decode_at(data, 0, len(data), 0)[0]


def nested_size(data: bytes, keys_max_count: int) -> int:
    """Give the bytes of those of a map's values that are lists or maps: what makes it slow to decode.

    Raises:
        ValueError: it is not a map, is damaged at this level, or has more than `keys_max_count` keys.
    """
    size, start = _decode_length(data, 0)
    end = start + size
    if data[end : end + 1] != b"}":
        raise ValueError("tnetstring is not a map, or cut off")
    nested_bytes = keys_count = 0
    while start < end:
        keys_count += 1
        if keys_count > keys_max_count:
            raise ValueError(f"tnetstring map has more than {keys_max_count} keys")
        for _ in range(2):  # the key and its value
            size, begin = _decode_length(data, start)
            start = begin + size + 1
            if start > end:
                raise ValueError(f"tnetstring at byte {begin} is cut off")
        if data[start - 1] in _CONTAINERS:
            nested_bytes += size
    return nested_bytes


def _decode_at(data: bytes, start: int, limit: int, depth: int) -> tuple[object, int]:
    """Decode the value at `start`, which must end at `limit` or before; give it and the index after it."""
    begin = start + 2
    size = _SHORT.get(data[start:begin])
    if size is None:
        begin += 1
        size = _SHORT.get(data[start:begin])
        if size is None:
            size, begin = _decode_length(data, start)
    end = begin + size
    if end >= limit:
        raise ValueError(f"tnetstring at byte {start} is cut off")
    kind = data[end]
    if kind == _COMMA:
        return data[begin:end], end + 1
    if kind == _BRACE:
        return _decode_map(data, begin, end, depth + 1), end + 1
    if kind == _BRACKET:
        return _decode_list(data, begin, end, depth + 1), end + 1
    decode_scalar = _SCALARS.get(kind)
    if decode_scalar is None:
        raise ValueError(f"unknown tnetstring type {data[end : end + 1]!r} at byte {end}")
    return decode_scalar(data[begin:end]), end + 1


def _decode_length(data: bytes, start: int) -> tuple[int, int]:
    """Decode the length at `start`; give it and the index after its colon."""
    colon = data.find(b":", start, start + LENGTH_DIGITS_MAX_COUNT + 1)
    digits = data[start:colon]
    if colon < 0 or not digits.isdigit():
        raise ValueError(f"no tnetstring length at byte {start}")
    return int(digits), colon + 1


def _decode_map(data: bytes, start: int, end: int, depth: int) -> dict[str, object]:
    if depth > DEPTH_MAX_COUNT:
        raise ValueError(f"tnetstring nests deeper than {DEPTH_MAX_COUNT} levels")
    result: dict[str, object] = {}
    while start < end:
        # As in _decode_at, without the call: half of all the values in an item are keys.
        begin = start + 2
        size = _SHORT.get(data[start:begin])
        if size is None:
            begin += 1
            size = _SHORT.get(data[start:begin])
            if size is None:
                size, begin = _decode_length(data, start)
        stop = begin + size
        if stop >= end or data[stop] != _COMMA:
            raise ValueError(f"tnetstring map key at byte {start} is not a string")
        name = data[begin:stop]
        key = name.decode() if name.isascii() else name.decode("utf-8", "replace")
        result[key], start = _decode_at(data, stop + 1, end, depth)
    return result


def _decode_list(data: bytes, start: int, end: int, depth: int) -> list[object]:
    if depth > DEPTH_MAX_COUNT:
        raise ValueError(f"tnetstring nests deeper than {DEPTH_MAX_COUNT} levels")
    result: list[object] = []
    while start < end:
        value, start = _decode_at(data, start, end, depth)
        result.append(value)
    return result


def _decode_int(text: bytes) -> int:
    if len(text) > 20 or not text.removeprefix(b"-").isdigit():
        raise ValueError(f"tnetstring int is not a whole number of 64 bits: {text[:40]!r}")
    number = int(text)
    if not INT_MIN <= number <= INT_MAX:
        raise ValueError(f"tnetstring int does not fit 64 bits: {text!r}")
    return number


def _decode_float(text: bytes) -> float:
    if len(text) > 40 or b"_" in text:
        raise ValueError(f"tnetstring float is not a number: {text[:40]!r}")
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"tnetstring float is not finite: {text!r}")
    return number


def _decode_bool(text: bytes) -> bool:
    if text == b"true":
        return True
    if text == b"false":
        return False
    raise ValueError(f"tnetstring bool is neither true nor false: {text[:40]!r}")


def _decode_null(text: bytes) -> None:
    if text:
        raise ValueError(f"tnetstring null is not empty: {text[:40]!r}")


_SCALARS: Final[dict[int, Callable[[bytes], object]]] = {
    _HASH: _decode_int,
    _CARET: _decode_float,
    _BANG: _decode_bool,
    _TILDE: _decode_null,
}
