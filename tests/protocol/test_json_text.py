"""Strict JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.protocol.json_text import decode_json, has_equal_keys
from tests.json_corpus import DOCUMENTS, verdicts

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(_TEXTS, inner),
    max_leaves=20,
)


@given(_VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_documents_come_back_whatever_their_layout(value: object, is_ascii: bool, indent: int | None) -> None:
    """Blanks, escapes and colons in strings are no reason to see a key twice."""
    assert decode_json(json.dumps(value, ensure_ascii=is_ascii, indent=indent).encode()) == value


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1,"a":1}',
        b'{"a":1, "a" : 2}',
        b'[{"x":{"a":"b:c","a":"b:c"}}]',
        b'{"\\u0061":1,"a":2}',
        b'{"a":"\\u003a","a":"\\u003a"}',
        b'{"a":"x","b":"\\u003A","b":1}',
    ],
)
def test_equal_keys_are_refused(text: bytes) -> None:
    """Two channels in one item: each reader would pick its own."""
    with pytest.raises(ValueError, match="twice"):
        decode_json(text)


def test_escaped_colons_are_not_keys() -> None:
    """The quick count does not see them, so the slow one must clear the text."""
    assert decode_json(b'{"a":"\\u003a","b":"\\\\u003a"}') == {"a": ":", "b": "\\u003a"}


def test_equal_keys_are_seen_without_the_text_being_canonical() -> None:
    """The first test is equality with the canonical text; failing it alone proves nothing."""
    assert not has_equal_keys(b'{ "a": 1 }', {"a": 1})
    assert has_equal_keys(b'{ "a": 1, "a": 1 }', {"a": 1})


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b'{"a":1}x',
        b"NaN",
        b"[Infinity]",
        b'"\\ud800"',
        b'"\xff"',
        b"{'a':1}",
        b"[1,]",
        b"[" * 300 + b"]" * 300,
    ],
)
def test_what_is_not_strict_json_is_refused(text: bytes) -> None:
    """orjson's strictness is what we rely on; this fails if it changes."""
    with pytest.raises(ValueError, match="."):
        decode_json(text)


@pytest.mark.parametrize("text", [b'\xef\xbb\xbf{"a:":"b"}', b'{"a:":"b\n"}', b'\xef\xbb\xbf{"a:":"\t\\u003a"}'])
def test_control_characters_may_stand_as_they_are(text: bytes) -> None:
    """Scripts that put JSON together by hand publish lines with their ends, and editors write byte order marks."""
    assert decode_json(text) == json.loads(text, strict=False)


def test_equal_keys_are_seen_behind_control_characters() -> None:
    for text in (b'{"a":"\n","a":1}', b'{"a":"\n\\u003a","a":1}'):
        with pytest.raises(ValueError, match="twice"):
            decode_json(text)


def is_read(text: bytes) -> bool:
    try:
        decode_json(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("name", verdicts())
def test_values_of_the_corpus(name: str) -> None:
    """As RFC 8259 has it, and as we have chosen where it leaves the choice; also in an object, where most stand."""
    text, is_valid = verdicts()[name]
    assert is_read(b'{"x":%s}' % text) == is_valid


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_of_the_corpus(name: str) -> None:
    """What may stand around a document, and in which encoding it may be."""
    change, is_valid = DOCUMENTS[name]
    assert is_read(change(b'{"items":[]}')) == is_valid
