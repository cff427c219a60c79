"""Filters, by the worked examples of the reference and by the errors that it names."""

import contextlib
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import FilterError
from gripproxy.protocol.filters import (
    DIRECTIVE_MAX_BYTES,
    FilterContext,
    ResponseFilter,
    content_filters_of,
    filter_content,
    response_filter,
)

META = {"user": "alice", "id_format": "X%(f2)s%%", "v": "VAL"}
NAMES = st.sampled_from(
    ["skip-self", "skip-users", "require-sub", "build-id", "var-subst", "http-check", "http-modify", "unknown"]
)
CONTENTS = st.text(alphabet="%()\\sIv x", max_size=20).map(str.encode) | st.binary(max_size=20)
TEXTS = st.sampled_from(["", "alice", "hex", "%(f2)s", "%(", "a, alice"]) | st.text(max_size=8)
METAS = st.dictionaries(
    st.sampled_from(["user", "sender", "skip_users", "require_sub", "id_format", "id_encoding", "v"]), TEXTS
)


def context(
    sub_meta: Mapping[str, str] = META, item_meta: Mapping[str, str] | None = None, ids: Mapping[str, str] | None = None
) -> FilterContext:
    """Make what a hold on the channels f1 and f2 gives its filters."""
    return FilterContext(sub_meta, item_meta or {}, {"f2": "p6"} if ids is None else ids, ["f1", "f2"])


def passes(name: str, sub_meta: Mapping[str, str], item_meta: Mapping[str, str]) -> bool:
    """Whether a delivery filter lets an item pass."""
    return filter_content((name,), context(sub_meta, item_meta), b"%c") is not None


def error_of(filters: tuple[str, ...], of: FilterContext, content: bytes) -> str:
    """Give the error that the filters end with."""
    with pytest.raises(FilterError) as caught:
        filter_content(filters, of, content)
    return str(caught.value)


@pytest.mark.parametrize(
    ("user", "sender", "is_passed"),
    [
        ("alice", "alice", False),
        ("alice", "Alice", True),
        ("alice", None, True),
        (None, "alice", True),
        ("", "", True),
        (None, None, True),
    ],
)
def test_skip_self(user: str | None, sender: str | None, is_passed: bool) -> None:
    """Nobody gets his own items back, and nobody is nobody's self."""
    sub_meta = {} if user is None else {"user": user}
    assert passes("skip-self", sub_meta, {} if sender is None else {"sender": sender}) is is_passed


@pytest.mark.parametrize(
    ("user", "skip_users", "is_passed"),
    [
        ("alice", "bob, alice ,", False),
        ("alice", "alice", False),
        ("alice", "malice,alice2", True),
        ("alice", "Alice", True),
        ("", " ,,", True),
        (None, "alice", True),
        ("alice", None, True),
    ],
)
def test_skip_users(user: str | None, skip_users: str | None, is_passed: bool) -> None:
    """Names are trimmed and compared whole; empty ones are none."""
    sub_meta = {} if user is None else {"user": user}
    assert passes("skip-users", sub_meta, {} if skip_users is None else {"skip_users": skip_users}) is is_passed


@pytest.mark.parametrize(("name", "is_passed"), [("f1", True), ("f3", False), ("F1", False), ("", True), (None, True)])
def test_require_sub(name: str | None, is_passed: bool) -> None:
    """An item may be for those only that subscribed to another channel too."""
    assert passes("require-sub", {}, {} if name is None else {"require_sub": name}) is is_passed


def test_build_id() -> None:
    """The example of the reference's documentation."""
    assert filter_content(("build-id",), context(), b"id=%I h=%(ab)I") == b"id=Xp6% h=ab"
    assert filter_content(("build-id",), context(META | {"id_encoding": "hex"}), b"id=%I h=%(ab)I") == (
        b"id=58703625 h=6162"
    )
    assert filter_content(("build-id",), context(ids={"f2": ""}), b"%I") == b"X%"


@pytest.mark.parametrize(
    ("sub_meta", "ids", "content", "error"),
    [
        ({}, None, b"plain", "no sub meta 'id_format'"),
        (META, {"f1": "p1"}, b"plain", "failed to render ID: No such variable 'f2' at position 6"),
        ({"id_format": "%(f2)I"}, None, b"plain", "failed to render ID: Unknown directive 'I' at position 5"),
        (META | {"id_encoding": "base64"}, None, b"plain", "unsupported encoding: base64"),
        (META | {"id_encoding": ""}, None, b"plain", "unsupported encoding: "),
        (META | {"id_encoding": "h\nx"}, None, b"plain", "unsupported encoding: h\\nx"),
        (META, None, b"100%", "Expected directive after '%' at position 3"),
        (META, None, b"%(v)s", "Unknown directive 's' at position 4"),
    ],
)
def test_build_id_errors(sub_meta: dict[str, str], ids: dict[str, str] | None, content: bytes, error: str) -> None:
    """A receiver whose ids cannot be built gets no item, rather than one with a wrong id."""
    assert error_of(("build-id",), context(sub_meta, ids=ids), content) == error


def test_an_id_needs_no_channel_that_its_format_does_not_name() -> None:
    """A channel without reliability does not spoil the ids of the others."""
    assert filter_content(("build-id",), context({"id_format": "all"}, ids={}), b"%I") == b"all"


def test_no_channels_mean_no_id() -> None:
    """That is how it is for a response that is not held."""
    without = FilterContext(META, {}, {}, [])
    assert filter_content(("build-id",), without, b"%(x)I%%") == b"x%"
    assert error_of(("build-id",), without, b"%I") == "No ID specified and no default ID in context at position 1"


def test_var_subst() -> None:
    """Values come from the subscription, so that one item reads differently for each receiver."""
    assert filter_content(("var-subst",), context(), b"a %(v)s b %% ") == b"a VAL b % "
    assert error_of(("var-subst",), context(), b"%(n)s") == "No such variable 'n' at position 4"


def test_each_filter_gets_the_output_of_the_one_before() -> None:
    """So their order matters, and the first that drops the item ends it."""
    both = context(META | {"v": "%I"})
    assert filter_content(("var-subst", "build-id"), both, b"%(v)s") == b"Xp6%"
    assert error_of(("build-id", "var-subst"), both, b"%(v)s") == "Unknown directive 's' at position 4"
    dropping = context(item_meta={"sender": "alice"})
    assert filter_content(("skip-self", "var-subst"), dropping, b"%") is None
    assert error_of(("var-subst", "skip-self"), dropping, b"%").startswith("Expected directive")


def test_unknown_names_are_passed_over() -> None:
    """An origin may name filters of a later version."""
    assert filter_content(("no-such", "Build-Id"), context({}), b"%") == b"%"
    assert filter_content((), context({}), b"%") == b"%"


@pytest.mark.parametrize("name", ["http-check", "http-modify"])
def test_a_network_filter_is_not_passed_over(name: str) -> None:
    """An item that a server was to check must not go out unchecked by mistake."""
    assert "need a request" in error_of((name,), context(), b"")


def test_content_filters() -> None:
    """What publishers assume about a subscription is compared with these, in their order."""
    filters = ("skip-self", "var-subst", "unknown", "http-check", "build-id", "http-modify", "build-id")
    assert content_filters_of(filters) == ("var-subst", "build-id", "http-modify", "build-id")
    assert content_filters_of(("skip-users", "require-sub")) == ()


def test_a_response_is_filtered_if_any_channel_builds_ids() -> None:
    """The filters of all channels apply to the one body, each once."""
    assert response_filter([("skip-self", "var-subst"), ()], META) is None
    body = response_filter([(), ("skip-self", "build-id"), ("build-id",)], META | {"id_encoding": "hex"})
    assert body is not None
    assert [body.feed(b"a%(J)I%"), body.feed(b"%b"), body.feed(b"%(\\"), body.feed(b"))I"), body.end()] == [
        b"a4a",
        b"%b",
        b"",
        b"29",
        b"",
    ]


@pytest.mark.parametrize(
    ("sub_meta", "parts", "error"),
    [
        ({}, [], "no sub meta 'id_format'"),
        ({}, [b"a"], "no sub meta 'id_format'"),
        (META, [b"ab", b"%", b"I"], "No ID specified and no default ID in context at position 3"),
        (META, [b"ab", b"%"], "Expected directive after '%' at position 2"),
        (META, [b"ab%(I", b" am"], "Unterminated field starting at position 3"),
        (META | {"id_encoding": "x"}, [b"a"], "unsupported encoding: x"),
        (META, [b"ab%(", b"x" * (DIRECTIVE_MAX_BYTES - 1)], "Directive of more than 4096 bytes at position 2"),
        (META, [b"ab%(", b"x" * (DIRECTIVE_MAX_BYTES - 2)], "Unterminated field starting at position 3"),
    ],
)
def test_response_errors(sub_meta: dict[str, str], parts: list[bytes], error: str) -> None:
    """Positions count from the body's begin, however it comes; an endless directive is not waited for."""
    body = ResponseFilter(sub_meta)
    with pytest.raises(FilterError) as caught:
        for part in parts:
            body.feed(part)
        body.end()
    assert str(caught.value) == error


@given(CONTENTS, st.lists(st.integers(0, 20)))
def test_the_parts_of_a_body_do_not_matter(content: bytes, cuts: list[int]) -> None:
    """Where the network cuts a body must not be seen in it."""

    def result(parts: list[bytes]) -> bytes | str:
        body = ResponseFilter(META)
        try:
            return b"".join([*[body.feed(part) for part in parts], body.end()])
        except FilterError as error:
            return str(error)

    places = sorted({0, len(content), *[cut for cut in cuts if cut < len(content)]})
    parts = [content[start:end] for start, end in zip(places, places[1:], strict=False)]
    assert result(parts) == result([content])


@given(st.lists(NAMES, max_size=5).map(tuple), METAS, METAS, CONTENTS)
def test_any_content_is_filtered_or_refused(
    filters: tuple[str, ...], sub_meta: dict[str, str], item_meta: dict[str, str], content: bytes
) -> None:
    """Whatever publishers and origins send, no other exception comes out."""
    with contextlib.suppress(FilterError):
        result = filter_content(filters, context(sub_meta, item_meta), content)
        assert result is None or b"%" in content or result == content
