"""Publish items: what a publisher hands in, checked once, and nothing of it looked at twice."""

import re
from dataclasses import dataclass, field
from typing import Final

import orjson

from gripproxy.errors import PublishError
from gripproxy.protocol.json_text import decode_json
from gripproxy.protocol.publish_format import (
    HttpResponseFormat,
    HttpStreamFormat,
    WsMessageFormat,
    decode_http_response,
    decode_http_stream,
    decode_ws_message,
)
from gripproxy.protocol.publish_value import (
    JSON,
    TNETSTRING,
    Encoding,
    decode_bool,
    decode_fields,
    decode_int,
    decode_text,
    wrong_type,
)
from gripproxy.protocol.receipt import Receipt
from gripproxy.protocol.tnetstring import decode as decode_tnetstring

# An item is in memory once for every worker and every slow reader, so it must have a bound; Pushpin has none on
# ZeroMQ. 16 times the HTTP control port's limit leaves room for whatever anyone pushes to a browser.
ITEM_MAX_BYTES = 16 * 1024 * 1024

_ITEM: Final = "publish item object"
_INVALID: Final = "received message with invalid format"
_FORMAT_NAMES: Final = ("http-response", "http-stream", "ws-message")
# What stands before the channel's name, behind it, and before the content, with the sizes on the way.
_PLAIN_CHANNEL = re.compile(rb"T?([0-9]{1,9}):7:channel,([0-9]{1,9}):")
_PLAIN_FORMATS = re.compile(rb",7:formats,([0-9]{1,9}):11:http-stream,([0-9]{1,9}):7:content,([0-9]{1,9}):")
_J, _T, _COLON = b"JT:"


@dataclass(slots=True)
class PublishItem:
    """One published item, checked."""

    channel: str  # the full name, may be empty
    id: str | None = None  # "" is an id
    prev_id: str | None = None
    http_response: HttpResponseFormat | None = None
    http_stream: HttpStreamFormat | None = None
    ws_message: WsMessageFormat | None = None
    meta: dict[str, str] = field(default_factory=dict)
    size: int | None = None  # bytes, for block accounting instead of the real size
    is_no_seq: bool = False
    receipt: Receipt | None = field(default=None, compare=False)  # in a worker, if somebody asks for it


def decode_frame(body: bytes, channel: str | None = None) -> PublishItem:
    """Decode the item in one ZeroMQ frame: ``J`` and JSON, ``T`` and tnetstring, or a bare tnetstring.

    Args:
        body: the item's frame, at most ITEM_MAX_BYTES.
        channel: the first frame of a SUB message; then a ``channel`` key in the item is not looked at.

    Raises:
        PublishError: Pushpin's log text, without the input's name in front and without ``, skipping`` at the end.
    """
    if len(body) > ITEM_MAX_BYTES:
        raise PublishError(f"{_INVALID}: {len(body)} bytes are more than {ITEM_MAX_BYTES}")
    first = body[0] if body else 0
    value: object
    try:
        if first == _J:
            encoding, value = JSON, decode_json(body[1:])
        else:
            encoding, value = TNETSTRING, decode_tnetstring(body[1:] if first == _T else body)
    except ValueError:
        raise PublishError(f"{_INVALID} ({'json' if first == _J else 'tnetstring'} parse failed)") from None
    if encoding is JSON and type(value) is not dict:
        what = "not a valid json object" if type(value) is list else "json parse failed"
        raise PublishError(f"{_INVALID} ({what})")
    try:
        return decode_item(value, encoding, channel)
    except PublishError as error:
        raise PublishError(f"{_INVALID}: {error}") from None


def decode_content(body: bytes) -> tuple[str, bytes] | None:
    """Take the short way with the plainest item: a channel and one content for streams, and nothing else.

    Gives channel and content, as `decode_frame` would. None says nothing about the item: it must go the long way.
    """
    if len(body) > ITEM_MAX_BYTES:
        return None
    if body[:1] != b"J":
        return _decode_plain_tnetstring(body)
    try:
        fields = orjson.loads(body[1:])
        if len(fields) != 2:
            return None
        channel = fields["channel"]
        text = fields["formats"]["http-stream"]["content"]
    except (ValueError, TypeError, LookupError):
        return None
    if type(channel) is not str or type(text) is not str:
        return None
    # Four keys are there. Each has a colon, and so may texts; one more colon is that of one more key. Only a colon
    # that is written as an escape breaks the count. (To count bytes takes less time than to look for them.)
    colons_count = channel.count(":") + text.count(":")
    if body.count(_COLON) != 4 + colons_count or (colons_count and body.count(b"\\u003")):
        return None
    return channel, text.encode()


def _decode_plain_tnetstring(body: bytes) -> tuple[str, bytes] | None:
    """Do that with a tnetstring whose keys come in the order in which Python's publishers write them."""
    head = _PLAIN_CHANNEL.match(body)
    if head is None:
        return None
    channel_start = head.end()
    channel_end = channel_start + int(head[2])
    formats = _PLAIN_FORMATS.match(body, channel_end)
    if formats is None:
        return None
    start = formats.end()
    end = start + int(formats[3])
    if body[end:] != b",}}}":
        return None
    # Each of the three maps must say the size that it has: its `}` is at `end` + 1, 2 and 3.
    if (
        formats.end(2) + int(formats[2]) != end
        or formats.end(1) + int(formats[1]) != end + 1
        or head.end(1) + int(head[1]) != end + 2
    ):
        return None
    try:
        return body[channel_start:channel_end].decode(), body[start:end]
    except UnicodeDecodeError:
        return None


def decode_publish_request(body: bytes) -> list[PublishItem]:
    """Decode the body of ``POST /publish/``, ``{"items": [...]}``; one bad item refuses them all.

    Raises:
        PublishError: the text of the 400 answer, without its newline.
    """
    try:
        value = decode_json(body)
    except ValueError:
        raise PublishError("Body is not valid JSON.") from None
    if type(value) is not dict:
        raise PublishError("Invalid format." if type(value) is list else "Body is not valid JSON.")
    if "items" not in value:
        raise PublishError("Invalid format: object does not contain 'items'")
    entries = value["items"]
    if type(entries) is not list:
        raise PublishError("Invalid format: object contains 'items' with wrong type")
    return decode_items(entries, JSON)


def decode_items(entries: list[object], encoding: Encoding) -> list[PublishItem]:
    """Decode what publishers get an answer for; one bad item refuses them all.

    Raises:
        PublishError: the text of the answer. Of several items it says which one is bad, counted from 0.
    """
    items = []
    for entry in entries:
        try:
            items.append(decode_item(entry, encoding))
        except PublishError as error:
            found = [f"items[{len(items)}]"] if len(entries) > 1 else []
            if error.value is not None:
                found.append(f"value: {error.value}")
            shown = f" ({', '.join(found)})" if found else ""
            raise PublishError(f"Invalid format: {error.text}{shown}") from None
    return items


def decode_item(value: object, encoding: Encoding, channel: str | None = None) -> PublishItem:
    """Check one item and take it over. The order of the checks is Pushpin's: the first failure decides.

    Raises:
        PublishError: names the field.
    """
    fields = decode_fields(value, f"{_ITEM} is not an object", encoding)
    if channel is None:
        if "channel" not in fields:
            raise PublishError(f"{_ITEM} does not contain 'channel'")
        channel = decode_text(fields["channel"], _ITEM, "channel")
    item_id = prev_id = size = None
    if (given := fields.get("id")) is not None:
        item_id = decode_text(given, _ITEM, "id")
    if (given := fields.get("prev-id")) is not None:
        prev_id = decode_text(given, _ITEM, "prev-id")
    response, stream, message = _decode_formats(fields, encoding)
    meta = {} if (given := fields.get("meta")) is None else _decode_meta(given)
    if "size" in fields:
        size = decode_int(fields["size"], _ITEM, "size")
    is_no_seq = "no-seq" in fields and decode_bool(fields["no-seq"], _ITEM, "no-seq")
    return PublishItem(channel, item_id, prev_id, response, stream, message, meta, size, is_no_seq)


def _decode_formats(
    fields: dict[str, object], encoding: Encoding
) -> tuple[HttpResponseFormat | None, HttpStreamFormat | None, WsMessageFormat | None]:
    formats = fields.get("formats")
    if formats is None:
        # Not those of null, which none but tnetstring lets come so far, and only here.
        formats = {name: fields[name] for name in _FORMAT_NAMES if fields.get(name) is not None}
        if not formats:
            raise PublishError("no formats specified")
    elif type(formats) is not dict:
        raise wrong_type(_ITEM, "formats", formats)
    elif not formats:
        raise PublishError("no formats specified")
    return (
        decode_http_response(formats["http-response"], encoding) if "http-response" in formats else None,
        decode_http_stream(formats["http-stream"], encoding) if "http-stream" in formats else None,
        decode_ws_message(formats["ws-message"], encoding) if "ws-message" in formats else None,
    )


def _decode_meta(given: object) -> dict[str, str]:
    if type(given) is not dict:
        raise wrong_type(_ITEM, "meta", given)
    return {key: decode_text(value, "'meta'", key) for key, value in given.items()}
