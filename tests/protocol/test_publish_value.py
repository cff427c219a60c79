"""Typing rules of publish items."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import PublishError
from gripproxy.protocol.publish_value import (
    JSON,
    NULL,
    TNETSTRING,
    decode_base64,
    decode_bool,
    decode_bytes,
    decode_fields,
    decode_int,
    decode_plain,
    decode_text,
)


@given(st.binary())
def test_base64_is_read(content: bytes) -> None:
    """Both alphabets' ends: with padding and without it."""
    text = base64.b64encode(content).decode()
    assert decode_base64(text, "item", "body-bin") == content
    assert decode_base64(text.rstrip("="), "item", "body-bin") == content


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("aGVsbG8", b"hello"),
        ("aGVs bG8", b"hello"),
        ("aGVs\nbG8=\n", b"hello"),
        ("!!!", b""),
        ("a", b""),
        ("aGVsb", b"hel"),
        ("aG=VsbG8", b"hello"),
        ("aGVsé-_bG8", b"hello"),
    ],
)
def test_base64_skips_what_it_does_not_know(text: str, content: bytes) -> None:
    """As lenient as the reference: publishers wrap lines and leave the padding off."""
    assert decode_base64(text, "item", "body-bin") == content


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (200, 200),
        ("200", 200),
        (b"200", 200),
        (" +7 ", 7),
        ("abc", 0),
        ("", 0),
        ("1.5", 0),
        ("1_0", 0),
        ("²", 0),
        ("9" * 19, 0),
        (True, 1),
        (False, 0),
        (2.5, 3),
        (2.4, 2),
        (-0.5, 0),
    ],
)
def test_numbers_come_in_many_forms(value: object, number: int) -> None:
    """A JavaScript library sends the code as a string; the rest is the reference's tolerance."""
    assert decode_int(value, "item", "code", 999) == number


@pytest.mark.parametrize("value", [-1, 1000, "-1", -0.6, 1e300, float("inf"), 2**64])
def test_numbers_out_of_range_are_refused(value: object) -> None:
    """A status line has three digits."""
    with pytest.raises(PublishError, match="^item contains 'code' with invalid value .value: "):
        decode_int(value, "item", "code", 999)


@pytest.mark.parametrize("value", [None, NULL, [], {}])
def test_other_types_are_no_numbers(value: object) -> None:
    """Null is not 0."""
    with pytest.raises(PublishError, match="^item contains 'code' with wrong type .value: "):
        decode_int(value, "item", "code")


def test_text_replaces_what_is_not_utf8_and_content_keeps_it() -> None:
    """Names must be text everywhere; content is the publisher's business."""
    assert decode_text(b"a\xff", "item", "id") == "a�"
    assert decode_bytes(b"a\xff", "item", "body") == b"a\xff"
    assert decode_bytes("é", "item", "body") == b"\xc3\xa9"


@pytest.mark.parametrize("value", [1, None, NULL, True, [], {}])
def test_text_is_never_made_up(value: object) -> None:
    """No str() of a number: an id 1 and an id "1" would be told apart elsewhere."""
    with pytest.raises(PublishError, match="'id' with wrong type"):
        decode_text(value, "item", "id")
    with pytest.raises(PublishError, match="'id' with wrong type"):
        decode_bytes(value, "item", "id")


def test_only_a_bool_is_a_bool() -> None:
    """``no-seq: 1`` is a mistake that would change the order of delivery."""
    assert decode_bool(True, "item", "no-seq") is True
    with pytest.raises(PublishError, match="'no-seq' with wrong type"):
        decode_bool(1, "item", "no-seq")


def test_null_is_wrong_in_json_and_nothing_in_tnetstring() -> None:
    """Two encodings, two rules; everything else need not know."""
    fields: dict[str, object] = {"id": None, "channel": "c"}
    assert decode_fields(fields, "no object", JSON) == {"id": NULL, "channel": "c"}
    assert decode_fields(fields, "no object", TNETSTRING).get("id") is None
    with pytest.raises(PublishError, match="^no object .value: a list.$"):
        decode_fields([], "no object", JSON)


def test_plain_values_are_what_json_would_have_given() -> None:
    """A patch from tnetstring is applied to a JSON document."""
    assert decode_plain([{"path": b"/a", "value": [b"x", 1, None]}]) == [{"path": "/a", "value": ["x", 1, None]}]
