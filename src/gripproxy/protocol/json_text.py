"""JSON text to values: one meaning per text, or it is refused."""

import json

import orjson


def decode_json(text: bytes) -> object:
    """Decode one JSON document (UTF-8).

    Raises:
        ValueError: not JSON, NaN or infinite numbers, a lone surrogate, text after the document, nesting deeper
            than about 250 levels, or a key that occurs twice in one object. Pushpin takes the last of equal keys;
            we refuse, since two readers of such an item may see two different channels.
    """
    value = decode_loose_json(text)
    if has_equal_keys(text, value):
        raise ValueError("a key occurs twice in one object")
    return value


def decode_loose_json(text: bytes) -> object:
    """Decode one JSON document (UTF-8), of equal keys the last.

    Unlike RFC 8259, but like Pushpin, it may begin with a byte order mark, and line ends and other control characters
    may stand in strings as they are: scripts that write JSON by hand leave them there.

    Raises:
        ValueError: as in `decode_json`.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        try:
            value = json.loads(text.decode("utf-8-sig"), strict=False, parse_constant=_refuse)
            orjson.dumps(value)  # knows no lone surrogate, nor a number of more than 64 bits
        except (ValueError, TypeError, RecursionError):
            raise error from None
        return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number in JSON")


def has_equal_keys(text: bytes, value: object) -> bool:
    """Tell whether `text` lost a key on its way to `value`, which is what orjson made of it.

    Rendering it again keeps every colon: one per key and those inside of strings. So fewer colons mean a lost key.
    Only a colon written as an escape breaks the count; such a text is read again, slowly.
    """
    try:
        rendered = orjson.dumps(value)
    except TypeError as error:
        raise ValueError(f"JSON nests too deeply: {error}") from None
    if rendered == text:
        return False
    if b"\\u003" in text and (b"\\u003a" in text or b"\\u003A" in text):  # most often one search, not two
        return _has_equal_keys_slowly(text)
    return rendered.count(b":") != text.count(b":")


class _EqualKeysError(Exception):
    pass


def _has_equal_keys_slowly(text: bytes) -> bool:
    def on_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
        fields = dict(pairs)
        if len(fields) != len(pairs):
            raise _EqualKeysError
        return fields

    try:
        json.loads(text, strict=False, object_pairs_hook=on_object)
    except _EqualKeysError:
        return True
    return False
