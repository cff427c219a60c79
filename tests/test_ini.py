"""INI text: what Pushpin's library makes of it is what operators' files rely on."""

import pytest

from gripproxy.ini import IniValue, parse_ini, split_value


def test_values_carry_section_and_line() -> None:
    """Every complaint names the place to look at."""
    values, warnings = parse_ini("; c\n# c\n\n[a]\nx = 1 \n[b]\r\nx=2=3\r\n", "f")
    assert values == {("a", "x"): IniValue("a", "x", "1", "f", 5), ("b", "x"): IniValue("b", "x", "2=3", "f", 7)}
    assert warnings == []


def test_last_of_two_equal_keys_counts() -> None:
    """As in Pushpin, but not in silence."""
    values, warnings = parse_ini("[a]\nx=1\nx=2", "f")
    assert values["a", "x"].text == "2"
    assert warnings == ["f:3: x stands in line 2 too; this one counts"]


@pytest.mark.parametrize("line", ["word", "=value", "[open"])
def test_line_that_is_nothing_is_passed_over(line: str) -> None:
    """Pushpin starts with such a file, and so do we."""
    assert parse_ini(f"{line}\n[a]\nx=1", "f") == (
        {("a", "x"): IniValue("a", "x", "1", "f", 3)},
        [f"f:1: neither [section] nor key=value: {line}"],
    )


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ("", [""]),
        ("a", ["a"]),
        (" a b , c ", ["a b", "c"]),
        ("a,,b,", ["a", "", "b", ""]),
        ('"a,b"', ["a,b"]),
        ('" a "', [" a "]),
        ('x" a "y', ["x a y"]),
        ("a ; comment, b", ["a"]),
        ('"a;b"', ["a;b"]),
        ("a#b", ["a#b"]),
        (r"a\\b\"c\tx", ['a\\b"c\tx']),
        (r'"a\"b"', ['a"b']),
        (r"\x41", ["A"]),
        (r"a\,b", ["a,b"]),
    ],
)
def test_value_is_split_and_unquoted(text: str, elements: list[str]) -> None:
    """Commas make lists, quotes keep them together, a semicolon starts a comment."""
    assert split_value(text) == elements


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('"a', "has an unclosed quote"),
        ("a\\", "ends in a backslash"),
        (r"a\q", r"has an unknown escape \q: write a backslash as \\"),
        (r'"a\q"', r"has an unknown escape \q: write a backslash as \\"),
    ],
)
def test_value_that_would_lose_characters_is_refused(text: str, reason: str) -> None:
    """A key that loses a character in silence signs with another key."""
    with pytest.raises(ValueError) as error:
        split_value(text)
    assert str(error.value) == reason
