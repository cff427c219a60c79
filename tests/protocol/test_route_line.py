"""The line grammar, with the reference's quirks that routes files in use depend on."""

import pytest

from gripproxy.protocol.route_line import RouteLineError, Section, split_route_line


@pytest.mark.parametrize("line", ["", "   ", "# only a comment", "  # indented"])
def test_line_without_content_has_no_section(line: str) -> None:
    """Blank lines and comments are part of every routes file and no error."""
    assert split_route_line(line) == []


def test_spaces_separate_sections_and_commas_properties() -> None:
    """This is the whole syntax that most routes files use."""
    assert split_route_line("example.com,proto=ws,debug  10.0.0.1:80,ssl test") == [
        Section("example.com", [("proto", "ws"), ("debug", "")]),
        Section("10.0.0.1:80", [("ssl", "")]),
        Section("test", []),
    ]


def test_tab_does_not_separate() -> None:
    """The reference takes only the space; a tab must lead to the same error there and here."""
    assert split_route_line("*\t127.0.0.1:80") == [Section("*\t127.0.0.1:80", [])]


def test_hash_ends_the_line_in_mid_token() -> None:
    """An unquoted "#" cuts a path off in the reference too."""
    assert split_route_line("*,path_beg=/a#b 127.0.0.1:80") == [Section("*", [("path_beg", "/a")])]


def test_quotes_keep_separators_and_join_with_plain_text() -> None:
    """A header value needs spaces, commas, quotes and backslashes."""
    assert split_route_line(r'*,header="X-A: b, c #"d"\"\\" test') == [
        Section("*", [("header", 'X-A: b, c #d"\\')]),
        Section("test", []),
    ]


def test_backslash_outside_quotes_is_ordinary() -> None:
    """Only quoted text has escapes."""
    assert split_route_line(r"*,prefix=a\b'c test")[0] == Section("*", [("prefix", r"a\b'c")])


def test_first_token_with_equals_sign_is_a_property() -> None:
    """A condition may do without a domain."""
    assert split_route_line("path_beg=/x,debug test")[0] == Section("", [("path_beg", "/x"), ("debug", "")])


def test_equals_sign_after_the_first_belongs_to_the_argument() -> None:
    """Keys in base64 end in "="."""
    assert split_route_line("*,sig_key=base64:YQ== test")[0] == Section("*", [("sig_key", "base64:YQ==")])


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('*,prefix="a\\', "unterminated escape sequence"),
        ('*,prefix="a', "unterminated quoted section"),
        ('*,prefix="a\\n" test', "unexpected escape character: n"),
        ("*, test", "expecting prop"),
        ("*,", "expecting prop"),
        ("*,,debug test", "expecting prop"),
        ("*,=x test", "empty prop name"),
        ('*,"" test', "empty prop name"),
    ],
)
def test_broken_line_is_refused_in_the_words_of_the_reference(line: str, text: str) -> None:
    """Operators search for these texts."""
    with pytest.raises(RouteLineError) as error:
        split_route_line(line)
    assert str(error.value) == text


def test_flag_is_on_whatever_its_argument() -> None:
    """``debug=false`` turns debug on in the reference."""
    section = Section("*", [("debug", "false")])
    assert section.has("debug")
    assert not section.has("ssl")


def test_last_argument_counts_and_repeated_ones_come_last_first() -> None:
    """Both orders are visible in what the origin receives."""
    section = Section("*", [("header", "A:1"), ("header", "B:2"), ("id", "x"), ("id", "y")])
    assert section.last("id") == "y"
    assert section.last("prefix") is None
    assert section.all("header") == ["B:2", "A:1"]
