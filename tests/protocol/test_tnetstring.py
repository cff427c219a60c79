"""Tagged netstrings, checked against the example of the reference's documentation and against damaged input."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.protocol.tnetstring import DEPTH_MAX_COUNT, decode, encode, nested_size

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.binary()
)
_VALUES = st.recursive(_SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(_VALUES)
def test_what_is_encoded_comes_back(value: object) -> None:
    """Every type and any nesting survives."""
    assert decode(encode(value)) == value


def test_reference_item_is_read() -> None:
    """The bytes that Pushpin's own command line sends."""
    wire = (
        b"122:7:formats,68:10:ws-message,15:7:content,2:hi,}11:http-stream,16:7:content,3:hi\n,}}"
        b"7:prev-id,1:6,2:id,1:7,7:channel,4:news,}"
    )
    assert decode(wire) == {
        "formats": {"ws-message": {"content": b"hi"}, "http-stream": {"content": b"hi\n"}},
        "prev-id": b"6",
        "id": b"7",
        "channel": b"news",
    }


def test_bytes_after_the_first_value_are_ignored() -> None:
    """The reference ignores them, and publishers may rely on it."""
    assert decode(b"2:hi,rest") == b"hi"


def test_str_and_bytes_encode_alike() -> None:
    """Text goes out as UTF-8: tnetstring knows no other."""
    assert encode({"a": "é"}) == encode({b"a": "é".encode()}) == b"9:1:a,2:\xc3\xa9,}"


def test_keys_that_are_not_utf8_are_replaced() -> None:
    """A key is a name: a damaged one must neither fail the item nor match a known one."""
    assert decode(b"8:1:\xff,1:x,}") == {"�": b"x"}


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b":",
        b"hi",
        b"2",
        b"2:",
        b"2:hi",
        b"3:hi,",
        b"-1:,",
        b"+2:hi,",
        b" 2:hi,",
        b"1_0:0123456789,",
        b"0000000002:hi,",
        b"99999999999999999999:,",
        b"2:hi?",
        b"3:abc#",
        b"0:#",
        b"3:1_0#",
        b"21:123456789012345678901#",
        b"20:18446744073709551616#",
        b"3:nan^",
        b"3:inf^",
        b"1:x^",
        b"4:True!",
        b"1:x~",
        b"4:1:a,}",
        b"8:1:1#1:x,}",
        b"6:4:true!]",
        b"5:2:hi]",
        b"8:1:a,9:x,}",
    ],
)
def test_damaged_input_is_refused(wire: bytes) -> None:
    """Nothing is guessed from a broken frame, least of all a negative or huge length."""
    with pytest.raises(ValueError, match="tnetstring|float"):
        decode(wire)


def test_inner_value_cannot_reach_past_its_container() -> None:
    """A length inside of a map must not read bytes that belong to what follows the map."""
    with pytest.raises(ValueError, match="cut off"):
        decode(b"9:1:a,5:xy,}zzzzzzzzzz")


def test_deep_nesting_is_refused_before_python_gives_up() -> None:
    """A few kilobytes of brackets must not end the hub with a RecursionError."""
    wire = b"0:]"
    for _ in range(DEPTH_MAX_COUNT - 1):
        wire = b"%d:%s]" % (len(wire), wire)
    assert isinstance(decode(wire), list)
    with pytest.raises(ValueError, match="deeper"):
        decode(b"%d:%s]" % (len(wire), wire))


def test_unknown_types_are_not_encoded() -> None:
    """A set or an object has no wire form: better an error than its repr."""
    with pytest.raises(TypeError, match="set"):
        encode({"a": {1}})


@given(st.binary())
def test_any_bytes_give_a_value_or_a_value_error(wire: bytes) -> None:
    """Whatever arrives on the socket, no other exception comes out."""
    with contextlib.suppress(ValueError):
        decode(wire)


@given(st.dictionaries(st.text(), _VALUES, max_size=5))
def test_nested_size_is_of_lists_and_maps(values: dict[str, object]) -> None:
    """Only what is in them takes long to decode."""
    size = sum(len(encode(value).partition(b":")[2]) - 1 for value in values.values() if isinstance(value, list | dict))
    assert nested_size(encode(values), 5) == size


@given(st.binary(max_size=60))
def test_nested_size_of_damage_is_refused_as_damage(data: bytes) -> None:
    """What it lets pass is a map at this level; the rest is for `decode` to say."""
    with contextlib.suppress(ValueError):
        assert nested_size(data, 10) >= 0


def test_map_of_too_many_keys_is_not_looked_through() -> None:
    """Each costs something, even unread."""
    data = encode({str(number): number for number in range(6)})
    assert nested_size(data, 6) == 0
    with pytest.raises(ValueError, match="more than 5 keys"):
        nested_size(data, 5)
    for damaged in (data[:-1], b"0:]", b"3:abc}", b"6:1:a,3:}"):
        with pytest.raises(ValueError):
            nested_size(damaged, 6)
