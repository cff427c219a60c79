"""JSON patch, by the reference's own example and by the places where it leaves the RFC."""

import contextlib
import copy
import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import PatchError
from gripproxy.protocol.json_patch import DEPTH_MAX_COUNT, OPERATIONS_MAX_COUNT, VALUES_MAX_BYTES, apply_patch

BASE = b'{"a":[1,2],"b":"t"}'

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet="ab~/é", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet="ab~/", max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)
PATHS = st.lists(st.sampled_from(["a", "b", "0", "1", "-", "~0", "~1", ""]), max_size=3).map(
    lambda tokens: "".join("/" + token for token in tokens)
)
OPERATIONS = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]), "path": PATHS},
    optional={"from": PATHS, "value": VALUES},
)


def patched(base: bytes, *operations: object) -> bytes:
    """Apply operations given one by one."""
    return apply_patch(base, list(operations))


def error_of(base: bytes, *operations: object) -> str:
    """Give the text by which a patch is refused."""
    with pytest.raises(PatchError) as caught:
        patched(base, *operations)
    return str(caught.value)


def test_the_documented_example() -> None:
    """Replace, append, overwrite and remove."""
    assert (
        patched(
            BASE,
            {"op": "replace", "path": "/b", "value": "new"},
            {"op": "add", "path": "/a/-", "value": 3},
            {"op": "add", "path": "/a/0", "value": 9},
            {"op": "remove", "path": "/a/1"},
        )
        == b'{"a":[9,3],"b":"new"}'
    )


@pytest.mark.parametrize(
    ("base", "result"),
    [
        (b'{ "b": 1, "a": "\\u00e9" }', '{"a":"é","b":1}'.encode()),
        (b"{}\n", b"{}\n"),
        (b"[1, 2]\r\n", b"[1,2]\r\n"),
        (b"[]\n\n", b"[]\n"),
        (b"\n[]", b"[]"),
    ],
)
def test_the_result_is_compact_sorted_and_ends_as_the_base(base: bytes, result: bytes) -> None:
    """Clients see the same bytes as from the reference."""
    assert patched(base) == result


@pytest.mark.parametrize(
    ("operation", "result"),
    [
        ({"op": "add", "path": "/", "value": [1]}, b"[1]"),
        ({"op": "replace", "path": "/", "value": {}}, b"{}"),
        ({"op": "add", "path": "/c", "value": None}, b'{"a":[1,2],"b":"t","c":null}'),
        ({"op": "add", "path": "/~1~01", "value": 1}, b'{"/~1":1,"a":[1,2],"b":"t"}'),
        ({"op": "remove", "path": "/a"}, b'{"b":"t"}'),
        ({"op": "move", "from": "/a/0", "path": "/b"}, b'{"a":[2],"b":1}'),
        ({"op": "move", "from": "/b", "path": "/a/-"}, b'{"a":[1,2,"t"]}'),
        ({"op": "move", "from": "/a", "path": "/ab"}, b'{"ab":[1,2],"b":"t"}'),
        ({"op": "move", "from": "/a", "path": "/a"}, BASE),
        ({"op": "move", "from": "/", "path": "/"}, BASE),
        ({"op": "move", "from": "/a", "path": "/"}, b"[1,2]"),
        ({"op": "copy", "from": "/", "path": "/c"}, b'{"a":[1,2],"b":"t","c":{"a":[1,2],"b":"t"}}'),
        ({"op": "copy", "from": "/a", "path": "/a/0"}, b'{"a":[[1,2],2],"b":"t"}'),
        ({"op": "test", "path": "/a", "value": [1.4, 1.5]}, BASE),
        ({"op": "test", "path": "/", "value": {"b": "t", "a": [1, 2]}}, BASE),
    ],
)
def test_operations(operation: object, result: bytes) -> None:
    """Each operation, at the root, in an object and in an array."""
    assert patched(BASE, operation) == result


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        ([], ": invalid op"),
        ({"path": "/"}, " (/): op does not contain 'op'"),
        ({"op": 1, "path": "/"}, " (/): op contains 'op' with wrong type"),
        ({"op": "add"}, " (add): op does not contain 'path'"),
        ({"op": "Add", "path": "/", "value": 1}, " (Add /): unsupported op"),
        ({"op": "add", "path": "/c"}, " (add /c): op does not contain 'value'"),
        ({"op": "add", "path": "", "value": 1}, " (add ): pointer must start with /"),
        ({"op": "add", "path": "a", "value": 1}, " (add a): pointer must start with /"),
        ({"op": "add", "path": "/a/", "value": 1}, " (add /a/): reference cannot be empty"),
        ({"op": "add", "path": "//", "value": 1}, " (add //): reference cannot be empty"),
        ({"op": "add", "path": "/c/d", "value": 1}, " (add /c/d): cannot step into undefined reference"),
        ({"op": "add", "path": "/a/-/d", "value": 1}, " (add /a/-/d): cannot step into undefined reference"),
        ({"op": "add", "path": "/b/d", "value": 1}, " (add /b/d): non-container value cannot have child reference"),
        ({"op": "add", "path": "/a/2", "value": 1}, " (add /a/2): index out of range"),
        ({"op": "add", "path": "/a/x", "value": 1}, " (add /a/x): index must be an integer"),
        ({"op": "add", "path": "/a/-1", "value": 1}, " (add /a/-1): index must be an integer"),
        ({"op": "add", "path": "/a/01", "value": 1}, " (add /a/01): index must be an integer"),
        ({"op": "add", "path": "/a/" + "9" * 9, "value": 1}, " (add /a/999999999): index out of range"),
        (
            {"op": "add", "path": "/c", "value": b"x"},
            " (add /c): a value nests deeper than 250 levels, or is none of JSON",
        ),
        ({"op": "remove", "path": "/c"}, " (remove /c): location does not exist"),
        ({"op": "remove", "path": "/a/-"}, " (remove /a/-): location does not exist"),
        ({"op": "remove", "path": "/"}, " (remove /): the root cannot be removed"),
        ({"op": "replace", "path": "/c", "value": 1}, " (replace /c): location does not exist"),
        ({"op": "replace", "path": "/a/-", "value": 1}, " (replace /a/-): location does not exist"),
        ({"op": "move", "path": "/c"}, " (move /c): op does not contain 'from'"),
        ({"op": "move", "from": "/a", "path": "/a/0"}, " (move /a/0): cannot move location into itself"),
        ({"op": "move", "from": "/", "path": "/c"}, " (move /c): cannot move location into itself"),
        ({"op": "move", "from": "/c", "path": "/d"}, " (move /d): location does not exist"),
        ({"op": "copy", "from": "/c", "path": "/d"}, " (copy /d): location does not exist"),
        ({"op": "copy", "from": "/a", "path": "/c/d"}, " (copy /c/d): cannot step into undefined reference"),
        ({"op": "test", "path": "/a", "value": [1, 3]}, " (test /a): tested values are not equal"),
        ({"op": "test", "path": "/a", "value": [1]}, " (test /a): tested values are not equal"),
        ({"op": "test", "path": "/a", "value": {"0": 1, "1": 2}}, " (test /a): tested values are not equal"),
        ({"op": "test", "path": "/", "value": {"a": [1, 2], "b": "u"}}, " (test /): tested values are not equal"),
        ({"op": "test", "path": "/a/0", "value": True}, " (test /a/0): tested values are not equal"),
        ({"op": "test", "path": "/a/0", "value": "1"}, " (test /a/0): tested values are not equal"),
        ({"op": "test", "path": "/c", "value": None}, " (test /c): location does not exist"),
        ({"op": "x\n", "path": "/é"}, " (x\\n /\\xe9): unsupported op"),
    ],
)
def test_the_failing_operation_is_named(operation: object, error: str) -> None:
    """The publisher's log must tell which of many operations failed, in one line."""
    assert error_of(BASE, {"op": "test", "path": "/b", "value": "t"}, operation) == "operation 2" + error


@pytest.mark.parametrize("base", [b"", b"text", b'"text"', b"null", b"1", b'{"a":1', b'{"a":1}x', b"\xff", b"[NaN]"])
def test_only_objects_and_arrays_are_patched(base: bytes) -> None:
    """Anything else the origin did not mean to be patched."""
    assert error_of(base) == "the held response is neither a JSON object nor an array"


def test_null_equals_null() -> None:
    """To the reference it equals nothing."""
    base = b'{"a":[null]}'
    assert patched(base, {"op": "test", "path": "/a", "value": [None]}) == base
    assert patched(base, {"op": "test", "path": "/a/0", "value": None}) == base


def test_the_result_is_an_object_or_an_array() -> None:
    """As the base is; in between it may be anything."""
    scalar = {"op": "add", "path": "/", "value": 1}
    assert error_of(BASE, scalar) == "the result is neither a JSON object nor an array"
    assert patched(BASE, scalar, {"op": "replace", "path": "/", "value": []}) == b"[]"


def test_numbers_keep_their_digits() -> None:
    """A patch must not change what it does not name: an id that a double cannot hold stays what it is."""
    assert patched(b"[123456789012345678, 2.0, 1.50]") == b"[123456789012345678,2.0,1.5]"


@pytest.mark.parametrize(
    ("number", "other", "is_equal"),
    [(1, 1.49, True), (1, 1.5, False), (-1, -1.49, True), (-1, -1.5, False), (0, -0.4, True), (2**53, 2.0**53, True)],
)
def test_numbers_are_compared_rounded(number: float, other: float, is_equal: bool) -> None:
    """As the reference does: 1.5 is 2, and -1.5 is -2."""
    operation = {"op": "test", "path": "/0", "value": other}
    with contextlib.nullcontext() if is_equal else pytest.raises(PatchError):
        patched(b"[%d]" % number, operation)


def test_operations_serve_many_clients() -> None:
    """What one client's patch does to a value must not be in the next one's."""
    operations: list[object] = [
        {"op": "add", "path": "/c", "value": []},
        {"op": "copy", "from": "/c", "path": "/d"},
        {"op": "add", "path": "/c/-", "value": 1},
    ]
    before = copy.deepcopy(operations)
    assert apply_patch(b"{}", operations) == apply_patch(b"{}", operations) == b'{"c":[1],"d":[]}'
    assert operations == before


def test_copies_of_copies_end() -> None:
    """Thirty copies of a document into itself would be a gigabyte."""
    doubling = [{"op": "copy", "from": "/", "path": f"/{n}"} for n in range(40)]
    assert "more than 1000000 bytes" in error_of(b'{"a":"%s"}' % (b"x" * 1000), *doubling)


def test_a_patch_has_a_size() -> None:
    """It runs for each client that holds."""
    add = {"op": "add", "path": "/a", "value": "x" * (VALUES_MAX_BYTES - 2)}
    assert len(patched(b"{}", add)) > VALUES_MAX_BYTES
    assert "more than" in error_of(b"{}", add, {"op": "test", "path": "/a", "value": 1})
    test = {"op": "test", "path": "/", "value": {}}
    assert patched(b"{}", *[test] * OPERATIONS_MAX_COUNT) == b"{}"
    assert error_of(b"{}", *[test] * (OPERATIONS_MAX_COUNT + 1)) == "more than 1000 operations: 1001"


def test_a_document_has_a_depth() -> None:
    """Deeper ones end in an error, and not in the interpreter's."""
    nesting = [{"op": "add", "path": "/0" * (n + 1), "value": [0]} for n in range(300)]
    assert "deeper than" in error_of(b"[0]", *nesting)
    pushing = [
        operation
        for _ in range(300)
        for operation in (
            {"op": "add", "path": "/b", "value": [0]},
            {"op": "move", "from": "/a", "path": "/b/0"},
            {"op": "move", "from": "/b", "path": "/a"},
        )
    ]
    assert "nests deeper" in error_of(b'{"a":0}', *pushing)
    assert "nests deeper" in error_of(b'{"a":%s}' % (b"[" * 500 + b"]" * 500))
    assert "deeper than" in error_of(b"[]", {"op": "test", "path": "/" + "0/" * DEPTH_MAX_COUNT, "value": 1})


@given(VALUES.filter(lambda value: isinstance(value, dict | list)), st.lists(OPERATIONS, max_size=6))
def test_any_patch_gives_json_or_a_refusal(base: object, operations: list[object]) -> None:
    """Whatever publishers send, no other exception comes out, and what comes out can be read."""
    with contextlib.suppress(PatchError):
        orjson.loads(apply_patch(orjson.dumps(base), operations))


@given(VALUES, VALUES)
def test_what_is_added_is_there(value: object, other: object) -> None:
    """Add and test agree on every value."""
    result = patched(b"{}", {"op": "add", "path": "/a", "value": value}, {"op": "test", "path": "/a", "value": value})
    assert result == orjson.dumps({"a": value}, option=orjson.OPT_SORT_KEYS)
    if json.dumps(value) == json.dumps(other):
        patched(result, {"op": "test", "path": "/a", "value": other})


def test_an_empty_array_is_no_empty_object() -> None:
    """Nothing in either can tell them apart."""
    assert "not equal" in error_of(b"[]", {"op": "test", "path": "/", "value": {}})
    assert "not equal" in error_of(b"{}", {"op": "test", "path": "/", "value": []})


@given(st.binary(), st.lists(OPERATIONS | VALUES, max_size=2))
def test_any_base_gives_json_or_a_refusal(base: bytes, operations: list[object]) -> None:
    """A held response is whatever an origin sent."""
    with contextlib.suppress(PatchError):
        apply_patch(base, operations)
