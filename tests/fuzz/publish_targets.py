"""Fuzz targets for publishing: what publishers send, and what becomes of it."""

import copy

import orjson

from gripproxy.bus.command_request import decide_command, decode_request, encode_reply
from gripproxy.bus.control_request import ControlRequest, ControlRequestError, ControlRequestReader
from gripproxy.errors import FilterError, PatchError, PublishError
from gripproxy.protocol.bus_message import pack_item, unpack_item
from gripproxy.protocol.filters import FilterContext, filter_content, response_filter
from gripproxy.protocol.http1 import breaks_lines
from gripproxy.protocol.json_patch import apply_patch
from gripproxy.protocol.publish_item import PublishItem, decode_content, decode_frame, decode_publish_request
from gripproxy.protocol.tnetstring import decode, encode
from gripproxy.settings import Settings
from tests.fuzz.http_targets import check_headers

SETTINGS = Settings()


def check_item(item: PublishItem) -> None:
    """It splits no client's head, and every worker gets it as it is."""
    response = item.http_response
    if response is not None:
        check_headers(response.headers or [])
        assert not breaks_lines(response.reason or b"")
    assert unpack_item(item.channel, pack_item(item)) == item


def publish_json(data: bytes) -> None:
    """A request's items are all good, or all refused."""
    try:
        items = decode_publish_request(data)
    except PublishError:
        return
    for item in items:
        check_item(item)


def publish_frame(data: bytes) -> None:
    """The short way with a frame gives what the long one would."""
    try:
        item = decode_frame(data)
    except PublishError:
        assert decode_content(data) is None
        return
    check_item(item)
    short = decode_content(data)
    if short is not None:
        assert item.http_stream is not None
        assert (item.channel, item.http_stream.content) == short


def tnetstring(data: bytes) -> None:
    """What can be read can be written and is the same then."""
    try:
        value = decode(data)
    except ValueError:
        return
    again = encode(value)
    assert encode(decode(again)) == again


def read_control(*parts: bytes) -> ControlRequest | str | None:
    """Give the request, or why it is refused, or None while it is not whole."""
    reader = ControlRequestReader(head_max_bytes=300, body_max_bytes=100)
    found = None
    try:
        for part in parts:
            found = reader.feed(part)
            if found is not None:
                return found
    except ControlRequestError as error:
        return str(error)
    return found


def control_request(data: bytes) -> None:
    """A request on the control port is the same wherever the network cuts it, up to what follows it."""
    whole = read_control(data)
    cut = read_control(*[data[position : position + 1] for position in range(len(data))])
    assert whole == cut or whole == "Request body exceeded Content-Length.", (whole, cut)


def command_request(data: bytes) -> None:
    """Whatever comes on the command socket, its answer can be read."""
    request = decode_request(data)
    if request is not None:
        decision = decide_command(request.method, request.args, SETTINGS)
        assert isinstance(decode(encode_reply(request, decision.result)), dict)


def json_patch(data: bytes) -> None:
    """A line with operations, then what they patch: the result is JSON, and the operations are as they were."""
    first, _, base = data.partition(b"\n")
    try:
        operations = orjson.loads(first)
    except orjson.JSONDecodeError:
        return
    if not isinstance(operations, list):
        return
    before = copy.deepcopy(operations)
    try:
        result = apply_patch(base, operations)
    except PatchError:
        return
    finally:
        assert operations == before
    orjson.loads(result)


CONTEXT = FilterContext({"user": "u"}, {"id_format": "{id}"}, {"a": "1"}, ["a"])
FILTERS = ("skip-self", "skip-users", "require-sub", "build-id", "var-subst")


def filters(data: bytes) -> None:
    """Content is filtered or refused; a response's body gives the same however it is cut."""
    for name in FILTERS:
        try:
            filter_content((name,), CONTEXT, data)
        except FilterError:
            continue
    assert filter_body(data) == filter_body(*[data[position : position + 1] for position in range(len(data))])


def filter_body(*parts: bytes) -> bytes | None:
    """Give a body with its variables filled in, None if it is refused."""
    body = response_filter([("var-subst",)], {"user": "u"})
    if body is None:
        return b"".join(parts)
    try:
        return b"".join([body.feed(part) for part in parts]) + body.end()
    except FilterError:
        return None
