"""The grammar of GRIP header values: comma lists, ``name=value`` parameters, integers.

Not the RFC 9110 grammar, but what Pushpin accepts, so that every origin's headers mean the same here.
"""

import re

Param = tuple[bytes, bytes | None]  # a missing value, or ``""``, is None; an empty unquoted one is b""

INT_MIN, INT_MAX = -(2**31), 2**31 - 1  # Pushpin's integers have 32 bits

_INT = re.compile(rb"[+-]?0*[0-9]{1,10}")
_PART = re.compile(rb'(?:[^",]|"(?:[^"\\]|\\.)*"|".*\Z)*', re.DOTALL)
_PARAM_NAME = re.compile(rb"([^=;]*)(=?)")
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"[^;]*', re.DOTALL)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)


def split_list(value: bytes) -> list[bytes]:
    """Split a header value at the commas that are outside ``"..."``; parts are trimmed.

    An empty value has no parts and a trailing comma adds none, but ``a,,b`` has an empty part in the middle.
    A quote that never closes makes the rest of the value one part.
    """
    value = value.strip()
    parts = _split_quoted(value) if b'"' in value else value.split(b",")
    if not parts[-1]:
        parts.pop()
    return [part.strip() for part in parts]


def _split_quoted(value: bytes) -> list[bytes]:
    parts = []
    start = 0
    while True:
        match = _PART.match(value, start)
        end = match.end() if match else len(value)
        parts.append(value[start:end])
        if end >= len(value):
            return parts
        start = end + 1


def decode_valued_params(element: bytes) -> tuple[bytes, list[Param]] | None:
    """Parse ``VALUE[; name[=value]]...`` as in Grip-Channel; None when the element must be discarded.

    The value runs to the first ``;``: quotes mean nothing in it.
    """
    value, _, rest = element.partition(b";")
    params = decode_params(rest)
    return None if params is None else (value.strip(), params)


def decode_params(element: bytes) -> list[Param] | None:
    """Parse ``name[=value][; name[=value]]...`` as in Grip-Set-Meta, in order, names as written.

    Gives None for an unterminated quote or a trailing backslash in one: Pushpin silently discards the whole
    list element then. Blank pieces are skipped.
    """
    params: list[Param] = []
    position = 0
    while position < len(element):
        name_match = _PARAM_NAME.match(element, position)
        assert name_match is not None  # every part of the pattern may be empty
        name, equals = name_match[1].strip(), name_match[2]
        position = name_match.end()
        value: bytes | None = None
        if equals and element.startswith(b'"', position):
            quoted = _QUOTED.match(element, position)
            if quoted is None:
                return None
            value = _ESCAPE.sub(rb"\1", quoted[1]) or None
            position = quoted.end()
        elif equals:
            end = element.find(b";", position)
            end = len(element) if end < 0 else end
            value = element[position:end].strip()
            position = end
        position += 1  # over the semicolon
        if name or equals:
            params.append((name, value))
    return params


def find_param(params: list[Param], name: bytes) -> Param | None:
    """Give the first parameter called `name` (lower case; any case matches), None when there is none."""
    for param in params:
        if param[0].lower() == name:
            return param
    return None


def decode_int(text: bytes | None) -> int | None:
    """Read a decimal integer with an optional sign and blanks around it; None when it is anything else.

    Limit: 32 bits, as in Pushpin.
    """
    text = b"" if text is None else text.strip()
    if not _INT.fullmatch(text):
        return None
    # Python refuses to read more than some thousand digits, even zeros.
    digits = text.lstrip(b"+-").lstrip(b"0") or b"0"
    number = -int(digits) if text.startswith(b"-") else int(digits)
    return number if INT_MIN <= number <= INT_MAX else None


def header_value(headers: list[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """Give the value of the first header line called `name` (lower case)."""
    for header, value in headers:
        if header.lower() == name:
            return value
    return None
