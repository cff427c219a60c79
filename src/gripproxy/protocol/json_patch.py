"""JSON patch as publishers send it: what a ``body-patch`` makes of the response that a client holds.

Not quite RFC 6902 but Pushpin's jsonpatch.cpp: ``/`` is the root, ``add`` at an index replaces, ``test`` compares
numbers as whole ones. Closer to the RFC than Pushpin: a test of a number against text or a boolean fails, an index
has no sign and no leading zero, and numbers keep their digits. The limits are ours: a patch runs once for every client
that holds.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import orjson

from gripproxy.errors import PatchError

OPERATIONS_MAX_COUNT = 1000  # some milliseconds
VALUES_MAX_BYTES = 1_000_000  # of JSON that all operations put in or compare; 10 times the largest held response
DEPTH_MAX_COUNT = 250  # levels that can be written

_APPEND: Final = -1
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


def apply_patch(base: bytes, operations: list[object]) -> bytes:
    """Apply the operations in order to a JSON object or array; give the result compact, with sorted keys.

    The line end that `base` ends with stays. `operations` are not changed.

    Raises:
        PatchError: names the operation, or says that `base` cannot be patched.
    """
    try:
        root = orjson.loads(base)
    except orjson.JSONDecodeError:
        root = None
    _check_container(root, "the held response")
    if len(operations) > OPERATIONS_MAX_COUNT:
        raise PatchError(f"more than {OPERATIONS_MAX_COUNT} operations: {len(operations)}")
    patch = _Patch([root])
    for number, operation in enumerate(operations, 1):
        try:
            patch.apply(operation)
        except PatchError as error:
            raise PatchError(f"operation {number}{_shown(operation)}: {error}") from None
    _check_container(patch.holder[0], "the result")
    end = b"\r\n" if base.endswith(b"\r\n") else b"\n" if base.endswith(b"\n") else b""
    return _encode(patch.holder[0]) + end


def _check_container(value: object, what: str) -> None:
    if type(value) is not dict and type(value) is not list:
        raise PatchError(f"{what} is neither a JSON object nor an array")


@dataclass(slots=True)
class _Location:
    """A place in a container, which may be empty in an object; index _APPEND is behind an array's last."""

    container: dict[str, object] | list[object]
    key: str | int

    @property
    def is_there(self) -> bool:
        if isinstance(self.container, dict):
            return self.key in self.container
        return self.key != _APPEND

    @property
    def value(self) -> object:
        self.check()
        return self.container[self.key]  # type: ignore[index]  # the key is of its container's kind

    def check(self) -> None:
        if not self.is_there:
            raise PatchError("location does not exist")

    def put(self, value: object) -> None:
        if self.key == _APPEND and isinstance(self.container, list):
            self.container.append(value)
        else:
            self.container[self.key] = value  # type: ignore[index]  # the key is of its container's kind

    def step(self, token: str) -> "_Location":
        """Go on to the place that `token` names in the value here."""
        if not token:
            raise PatchError("reference cannot be empty")
        if not self.is_there:
            raise PatchError("cannot step into undefined reference")
        container = self.value
        key: str | int = token.replace("~1", "/").replace("~0", "~")
        if isinstance(container, list):
            key = _index(token, len(container))
        elif not isinstance(container, dict):
            raise PatchError("non-container value cannot have child reference")
        return _Location(container, key)


def _index(token: str, length: int) -> int:
    if token == "-":
        return _APPEND
    if _INDEX.fullmatch(token) is None:
        raise PatchError("index must be an integer")
    index = int(token)
    if index >= length:
        raise PatchError("index out of range")
    return index


@dataclass(slots=True)
class _Patch:
    """A patch being applied to `holder[0]`."""

    holder: list[object]
    room_bytes: int = VALUES_MAX_BYTES

    def apply(self, operation: object) -> None:
        if type(operation) is not dict:
            raise PatchError("invalid op")
        name, path = _text(operation, "op"), _text(operation, "path")
        rule = _RULES.get(name)
        if rule is None:
            raise PatchError("unsupported op")
        rule(self, operation, path)

    def add(self, operation: dict[str, object], path: str) -> None:
        self._locate(path).put(self._copy(_value(operation)))

    def remove(self, operation: dict[str, object], path: str) -> None:
        self._take(self._locate(path))

    def replace(self, operation: dict[str, object], path: str) -> None:
        location = self._locate(path)
        value = self._copy(_value(operation))
        location.check()
        location.put(value)

    def move(self, operation: dict[str, object], path: str) -> None:
        source = _text(operation, "from")
        if path != source and (source == "/" or path.startswith(source + "/")):
            raise PatchError("cannot move location into itself")
        if path == source == "/":
            return
        value = self._take(self._locate(source))
        self._locate(path).put(value)

    def copy(self, operation: dict[str, object], path: str) -> None:
        location = self._locate(path)
        location.put(self._copy(self._locate(_text(operation, "from")).value))

    def test(self, operation: dict[str, object], path: str) -> None:
        if not _are_equal(self._locate(path).value, self._copy(_value(operation))):
            raise PatchError("tested values are not equal")

    def _locate(self, path: str) -> _Location:
        if not path.startswith("/"):
            raise PatchError("pointer must start with /")
        if path.count("/") > DEPTH_MAX_COUNT:
            raise PatchError(f"pointer is deeper than {DEPTH_MAX_COUNT} levels")
        location = _Location(self.holder, 0)
        if path != "/":
            for token in path[1:].split("/"):
                location = location.step(token)
        return location

    def _take(self, location: _Location) -> object:
        if location.container is self.holder:
            raise PatchError("the root cannot be removed")
        value = location.value
        del location.container[location.key]  # type: ignore[arg-type]  # the key is of its container's kind
        return value

    def _copy(self, value: object) -> object:
        """Copy a value, so that no change to the copy reaches an operation or another place."""
        text = _encode(value)
        self.room_bytes -= len(text)
        if self.room_bytes < 0:
            raise PatchError(f"the operations' values have more than {VALUES_MAX_BYTES} bytes")
        return orjson.loads(text)


_RULES: dict[str, Callable[[_Patch, dict[str, object], str], None]] = {
    "add": _Patch.add,
    "remove": _Patch.remove,
    "replace": _Patch.replace,
    "move": _Patch.move,
    "copy": _Patch.copy,
    "test": _Patch.test,
}


def _value(operation: dict[str, object]) -> object:
    if "value" not in operation:
        raise PatchError("op does not contain 'value'")
    return operation["value"]


def _text(operation: dict[str, object], key: str) -> str:
    if key not in operation:
        raise PatchError(f"op does not contain '{key}'")
    text = operation[key]
    if type(text) is not str:
        raise PatchError(f"op contains '{key}' with wrong type")
    return text


def _encode(value: object) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # in orjson's words, of which only the first of these can be meant
        raise PatchError(f"a value nests deeper than {DEPTH_MAX_COUNT} levels, or is none of JSON") from None


def _are_equal(one: object, other: object) -> bool:
    """Compare as ``test`` does. `other` was encoded, so it nests no deeper than Python can follow."""
    if _is_number(one) and _is_number(other):
        return _whole(one) == _whole(other)  # type: ignore[arg-type]  # both are numbers
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_are_equal(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_are_equal, one, other))
    return type(one) is type(other) and one == other


def _is_number(value: object) -> bool:
    return type(value) is int or type(value) is float


def _whole(number: float) -> int:
    """Round to the next whole number, halves away from zero."""
    if type(number) is int:
        return number
    return math.floor(number + 0.5) if number >= 0 else -math.floor(0.5 - number)


def _shown(operation: object) -> str:
    if type(operation) is not dict:
        return ""
    words = [operation[key] for key in ("op", "path") if type(operation.get(key)) is str]
    return f" ({' '.join(ascii(word[:80])[1:-1] for word in words)})"
