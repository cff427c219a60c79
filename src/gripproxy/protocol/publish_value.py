"""How the fields of a publish item are typed: JSON and tnetstring values to text, bytes and numbers.

JSON gives str and never bytes, tnetstring gives bytes and never str, so a value says itself which rule it needs;
only null and the ``-bin`` fields depend on the encoding. Source: Pushpin's publish item format, "typing rules".
"""

import math
from enum import IntEnum
from typing import Final

from gripproxy.errors import PublishError
from gripproxy.protocol import text_codec

INT_MAX = 2**31 - 1  # as the reference's, where larger ones count modulo 2**32
SHOWN_MAX_COUNT = 40  # characters of a value in a refusal


class Encoding(IntEnum):
    """How the item came."""

    JSON = 0
    TNETSTRING = 1


JSON, TNETSTRING = Encoding

_TYPE_NAMES: Final = {str: "a string", bytes: "a string", list: "a list", dict: "an object"}

# Stands for a null that is not allowed: a value of no accepted type, while None keeps meaning "not given".
NULL: Final = object()


def decode_fields(value: object, refusal: str, encoding: Encoding) -> dict[str, object]:
    """Take an object's fields so that ``fields.get(key)`` is None exactly if the field counts as not given.

    A JSON null is a value of the wrong type, a tnetstring null is as good as nothing for most fields: the others
    are those that are asked for by ``key in fields``.

    Raises:
        PublishError: `refusal`, if it is not an object.
    """
    if type(value) is not dict:
        raise PublishError(refusal, show_type(value))
    if encoding is JSON and None in value.values():
        return {key: NULL if field is None else field for key, field in value.items()}
    return value


def decode_text(value: object, where: str, key: str) -> str:
    """Decode a string field; tnetstring bytes that are not UTF-8 become U+FFFD. `where` starts the refusal."""
    if type(value) is str:
        return value
    if type(value) is bytes:
        return value.decode() if value.isascii() else value.decode("utf-8", "replace")
    raise wrong_type(where, key, value)


def decode_bytes(value: object, where: str, key: str) -> bytes:
    """Decode a string field whose bytes are kept as they are."""
    if type(value) is str:
        return value.encode()
    if type(value) is bytes:
        return value
    raise wrong_type(where, key, value)


def decode_base64(value: object, where: str, key: str) -> bytes:
    """Decode a string field that holds base64, in whatever shape."""
    return text_codec.decode_base64(decode_bytes(value, where, key))


def decode_int(value: object, where: str, key: str, maximum: int = INT_MAX) -> int:
    """Decode a whole number from 0 to `maximum`: fractions are rounded, a numeric string counts as its number.

    A string that is no number counts as 0, as in the reference.

    Raises:
        PublishError: wrong type, or out of range.
    """
    kind = type(value)
    if kind is int or kind is bool:
        number = int(value)  # type: ignore[call-overload]
    elif kind is float:
        number = _round(value)  # type: ignore[arg-type]
    elif kind is str or kind is bytes:
        number = _int_of_text(decode_text(value, where, key))
    else:
        raise wrong_type(where, key, value)
    if not 0 <= number <= maximum:
        raise PublishError(f"{where} contains '{key}' with invalid value", show(value))
    return int(number)


def decode_bool(value: object, where: str, key: str) -> bool:
    """Decode a bool; nothing else counts as one."""
    if type(value) is not bool:
        raise wrong_type(where, key, value)
    return value


def wrong_type(where: str, key: str, value: object) -> PublishError:
    """Make the refusal of a field whose type is wrong."""
    return PublishError(f"{where} contains '{key}' with wrong type", show_type(value))


def show_type(value: object) -> str:
    """Name the type of a value, or show one that is no more than a word: logs hold nothing of a content."""
    for kind, name in _TYPE_NAMES.items():
        if type(value) is kind:
            return name
    if value is None or value is NULL:
        return "null"
    return str(value).lower()[:SHOWN_MAX_COUNT]


def show(value: object) -> str:
    """Show a number or a short text, cut."""
    if type(value) is bytes:
        value = value.decode("utf-8", "replace")
    return repr(value)[:SHOWN_MAX_COUNT] if type(value) is str else show_type(value)


def decode_plain(value: object) -> object:
    """Turn tnetstring bytes into text all the way down: what JSON would have given."""
    if type(value) is bytes:
        return value.decode("utf-8", "replace")
    if type(value) is list:
        return [decode_plain(part) for part in value]
    if type(value) is dict:
        return {key: decode_plain(part) for key, part in value.items()}
    return value


def _round(number: float) -> int:
    """Round a half up, also below 0, as the reference."""
    return math.floor(number + 0.5) if math.isfinite(number) else -1


def _int_of_text(text: str) -> int:
    digits = text.strip()
    unsigned = digits[1:] if digits[:1] in ("+", "-") else digits
    return int(digits) if unsigned.isascii() and unsigned.isdigit() and len(unsigned) <= 18 else 0
