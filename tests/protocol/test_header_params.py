"""The grammar of GRIP header values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.protocol.header_params import (
    Param,
    decode_int,
    decode_params,
    decode_valued_params,
    find_param,
    header_value,
    split_list,
)

TRICKY = st.lists(st.sampled_from([b'"', b"\\", b",", b";", b"=", b" ", b"a", b"\xff"])).map(b"".join)


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        (b"", []),
        (b"  ", []),
        (b",", [b""]),
        (b"a", [b"a"]),
        (b"a,b,", [b"a", b"b"]),
        (b"a,,b", [b"a", b"", b"b"]),
        (b" a ,\tb ", [b"a", b"b"]),
        (b'a="1,2",b', [b'a="1,2"', b"b"]),
        (b'a="x\\",y",z', [b'a="x\\",y"', b"z"]),
        (b'a, b="c, d', [b"a", b'b="c, d']),
        (b'"a", "b, c', [b'"a"', b'"b, c']),
    ],
)
def test_list_splits_at_commas_outside_quotes(value: bytes, parts: list[bytes]) -> None:
    """One header line may carry several channels; a comma in a quoted id must not make another."""
    assert split_list(value) == parts


@pytest.mark.parametrize(
    ("element", "value", "params"),
    [
        (b"", b"", []),
        (b"news", b"news", []),
        (b" news ; prev-id=41", b"news", [(b"prev-id", b"41")]),
        (b'"abc; a', b'"abc', [(b"a", None)]),
        (b"a;b=", b"a", [(b"b", b"")]),
        (b'a;b=""', b"a", [(b"b", None)]),
        (b"a;b", b"a", [(b"b", None)]),
        (b"a;b=c=d; e = f ;", b"a", [(b"b", b"c=d"), (b"e", b"f")]),
        (b'a;b="c;d\\"e"ignored;f= "g"', b"a", [(b"b", b'c;d"e'), (b"f", b'"g"')]),
        (b"a;;b", b"a", [(b"b", None)]),
    ],
)
def test_valued_element_has_a_value_then_parameters(element: bytes, value: bytes, params: list[Param]) -> None:
    """The value is not unquoted, parameters are; empty, quoted empty and missing values differ."""
    assert decode_valued_params(element) == (value, params)


@pytest.mark.parametrize("element", [b'a; b="c', b'a; b="c\\', b'a; b="c\\"', b'a;b="'])
def test_open_quote_discards_the_element(element: bytes) -> None:
    """Pushpin drops such a channel without an error, so origins in use may do it."""
    assert decode_valued_params(element) is None


def test_params_without_a_value_start_at_once() -> None:
    """Grip-Set-Meta has no value in front."""
    assert decode_params(b'user="x"; b') == [(b"user", b"x"), (b"b", None)]


def test_find_takes_the_first_of_any_case() -> None:
    """Parameter names are case-insensitive and a second one does not override."""
    params: list[Param] = [(b"A", None), (b"Timeout", b"1"), (b"timeout", b"2")]
    assert find_param(params, b"timeout") == (b"Timeout", b"1")
    assert find_param(params, b"mode") is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b"5", 5),
        (b" +201 ", 201),
        (b"-1", -1),
        (b"007", 7),
        (b"0" * 5000 + b"5", 5),
        (b"-0", 0),
        (b"2147483647", 2**31 - 1),
        (b"-2147483648", -(2**31)),
    ],
)
def test_integer_forms(text: bytes, number: int) -> None:
    """Sign and blanks are tolerated."""
    assert decode_int(text) == number


@pytest.mark.parametrize(
    "text", [None, b"", b" ", b"5s", b"5.5", b"1_0", b"0x5", b"+-5", b"- 5", b"2147483648", b"\xd9\xa5", b"9" * 5000]
)
def test_everything_else_is_no_integer(text: bytes | None) -> None:
    """Python's int() would take 1_0 and other scripts' digits."""
    assert decode_int(text) is None


def test_header_lookup_ignores_case_and_takes_the_first_line() -> None:
    """A second line is somebody else's addition."""
    headers = [(b"A", b"1"), (b"X-B", b"2"), (b"a", b"3")]
    assert header_value(headers, b"a") == b"1"
    assert header_value(headers, b"c") is None


@given(TRICKY)
def test_split_loses_nothing_but_blanks_and_commas(value: bytes) -> None:
    """Whatever the quotes do, no byte of a channel's name may vanish."""

    def solid(text: bytes) -> bytes:
        return text.replace(b",", b"").replace(b" ", b"")

    assert b"".join(map(solid, split_list(value))) == solid(value)


@given(st.binary() | TRICKY)
def test_parsers_take_any_bytes(value: bytes) -> None:
    """Origins send anything; a parser returns and its names have no separators in them."""
    for part in split_list(value):
        for name, _ in decode_params(part) or []:
            assert b";" not in name and b"=" not in name
    decode_int(value)
