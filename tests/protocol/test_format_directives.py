"""The directives of filters, with the texts by which the reference refuses what is none."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gripproxy.errors import FilterError
from gripproxy.protocol.format_directives import (
    PARTS_MAX_COUNT,
    RENDERED_MAX_BYTES,
    Directive,
    parse_template,
    render,
    shown,
    substitute,
    unknown_directive,
)

VALUES = {"v": "VAL", "empty": "", "a)b": "paren", "\\": "slash", "é": "ü"}
TEXTS = st.text(alphabet="%()\\sIvx é", max_size=12).map(str.encode) | st.binary(max_size=20)


def expand(directive: Directive) -> bytes:
    """Show a directive with its argument; refuse ``%X``."""
    if directive.letter == ord("X"):
        raise unknown_directive(directive.letter)
    return b"<%c:%s>" % (directive.letter, directive.argument if directive.argument is not None else b"-")


@pytest.mark.parametrize(
    ("text", "result"),
    [
        (b"a %(v)s b %% ", b"a VAL b % "),
        (b"%(empty)s", b""),
        (rb"%(a\)b)s%(\\)s", b"parenslash"),
        ("%(é)s".encode(), "ü".encode()),
        (b"\xff", b"\xff"),
        (b"", b""),
        (b"%%%%(v)s%%", b"%%(v)s%"),
    ],
)
def test_names_are_replaced(text: bytes, result: bytes) -> None:
    """Everything but the directives stays as it is, bytes that are not UTF-8 too."""
    assert substitute(parse_template(text), VALUES) == result


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b"x%(n)s", "No such variable 'n' at position 5"),
        (b"%(v)d", "Unknown directive 'd' at position 4"),
        (b"%d", "Unknown directive 'd' at position 1"),
        (b"%s", "Directive 's' requires argument at position 1"),
        (b"%()s", "Directive 's' requires argument at position 3"),
        (b"100%", "Expected directive after '%' at position 3"),
        (b"100% ", "Unknown directive ' ' at position 4"),
        (b"%1", "Unknown directive '1' at position 1"),
        (b"%)", "Unknown directive ')' at position 1"),
        (b"%(v)%", "Unknown directive '%' at position 4"),
        (b"%(", "Expected character after '(' at position 1"),
        (b"a%(v", "Unterminated field starting at position 2"),
        (rb"%(v\)", "Unterminated field starting at position 1"),
        (b"%(v\\", "Expected character after '\\' at position 3"),
        (b"%(v)", "Expected directive after ')' at position 3"),
        (b"%\n", "Unknown directive '\\x0a' at position 1"),
        (b"%(a\nb)s", "No such variable 'a\\nb' at position 6"),
        (b"%(\xff)s", "No such variable '\N{REPLACEMENT CHARACTER}' at position 4"),
        (b"%(n)s%", "No such variable 'n' at position 4"),
    ],
)
def test_the_first_fault_is_named_with_its_position(text: bytes, error: str) -> None:
    """A publisher finds the percent sign that should have been doubled."""
    with pytest.raises(FilterError) as caught:
        substitute(parse_template(text), VALUES)
    assert str(caught.value) == error


def test_a_long_name_is_not_repeated_whole() -> None:
    """An error must not be as long as the content."""
    assert shown("n" * 81) == "n" * 80 + "..."
    assert shown("n" * 80) == "n" * 80


def test_positions_count_from_the_offset() -> None:
    """A body that comes in parts is one text for whoever reads the error."""
    with pytest.raises(FilterError, match="^Unknown directive 'X' at position 103$"):
        render(parse_template(b"ab%X", 100), expand)
    with pytest.raises(FilterError, match="^Expected directive after '%' at position 102$"):
        render(parse_template(b"ab%", 100), expand)


@pytest.mark.parametrize("directive", [b"%", b"%(", b"%(c", b"%(c\\", b"%(c)"])
def test_what_is_cut_off_waits_only_in_an_open_text(directive: bytes) -> None:
    """A directive may arrive in two parts, and a wrong one is wrong at once."""
    cut = parse_template(b"ab" + directive)
    assert (render(cut, expand, is_open=True), cut.end) == (b"ab", 2)
    with pytest.raises(FilterError):
        render(cut, expand)
    with pytest.raises(FilterError):
        render(parse_template(b"ab%-"), expand, is_open=True)


def test_a_text_of_directives_only_does_not_fill_the_memory() -> None:
    """16 MB of percent signs would be hundreds of megabytes of objects."""
    with pytest.raises(FilterError, match=f"^More than {PARTS_MAX_COUNT} parts at position {2 * PARTS_MAX_COUNT}$"):
        render(parse_template(b"%%" * (PARTS_MAX_COUNT + 2)), expand)


def test_a_long_value_many_times_does_not_fill_the_memory() -> None:
    """A few bytes of content could otherwise become gigabytes."""
    value = "v" * (RENDERED_MAX_BYTES // 4)
    assert len(substitute(parse_template(b"%(v)s" * 4), {"v": value})) == RENDERED_MAX_BYTES
    with pytest.raises(FilterError, match=f"^Expands to more than {RENDERED_MAX_BYTES} bytes at position 24$"):
        substitute(parse_template(b"%(v)s" * 5), {"v": value})


@given(TEXTS)
@example(b"%(\\")
def test_any_text_is_rendered_or_refused(text: bytes) -> None:
    """Whatever a publisher sends, no other exception comes out, and an error is one line."""
    try:
        result = render(parse_template(text), expand)
    except FilterError as error:
        assert str(error).isprintable()
        assert " position " in str(error)
    else:
        assert b"%" in text or result == text


@given(st.binary())
def test_doubled_percent_signs_are_a_literal(text: bytes) -> None:
    """That is how a publisher sends any bytes through a filter."""
    assert render(parse_template(text.replace(b"%", b"%%")), expand) == text


@given(st.binary(min_size=1))
def test_any_argument_can_be_written(argument: bytes) -> None:
    """Backslashes take the special bytes as they are."""
    escaped = argument.replace(b"\\", b"\\\\").replace(b")", b"\\)")
    assert render(parse_template(b"%%(%s)I" % escaped), expand) == b"<I:%s>" % argument
