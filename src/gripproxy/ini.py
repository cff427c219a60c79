"""INI text as Pushpin's library reads it: sections, ``key=value``, comments, lists, quotes and escapes."""

import re
from dataclasses import dataclass

_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "0": "\0"}
_LITERAL_ESCAPES = frozenset("\\\"'?,;")
_PIECE = re.compile(
    r'"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<escape>\\(?:x[0-9A-Fa-f]{1,4}|.))|(?P<comma>,)|(?P<comment>;)'
    r'|(?P<plain>[^",;\\]+)|(?P<broken>.)',
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{1,4}|.)", re.DOTALL)


@dataclass(slots=True)
class IniValue:
    """What stands behind a key's ``=``, not yet split into list elements, and where it stands."""

    section: str
    key: str
    text: str
    path: str
    line: int

    @property
    def where(self) -> str:
        return f"{self.path}:{self.line}"


CUT_OFF = "the file ends in the middle of this line"  # in a warning: somebody may be writing it just now

Ini = dict[tuple[str, str], IniValue]  # by section and key, both case-sensitive


def parse_ini(text: str, path: str) -> tuple[Ini, list[str]]:
    """Read a file's text into its values and warnings of the form ``PATH:LINE: TEXT``.

    Lines that begin with ``;`` or ``#`` are comments, and the last of two equal keys counts, as in Pushpin. A line
    that is nothing at all is passed over like there, but with a warning.
    """
    values: Ini = {}
    warnings: list[str] = []
    section = ""
    for number, raw_line in enumerate(text.splitlines(keepends=True), start=1):
        line = raw_line.strip()
        if not line or line[0] in ";#":
            continue
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].strip()
            continue
        key, separator, value_text = (part.strip() for part in line.partition("="))
        if not separator or not key:
            fault = "neither [section] nor key=value" if raw_line.endswith("\n") else CUT_OFF
            warnings.append(f"{path}:{number}: {fault}: {line}")
            continue
        value = IniValue(section, key, value_text, path, number)
        earlier = values.get((section, key))
        if earlier is not None:
            warnings.append(f"{value.where}: {key} stands in line {earlier.line} too; this one counts")
        values[section, key] = value
    return values, warnings


def split_value(text: str) -> list[str]:
    """Split a value at its unquoted commas, trim the elements and resolve quotes and escapes.

    An unquoted ``;`` starts a comment. There is always at least one element, which may be empty.

    Raises:
        ValueError: a quote is not closed, or a backslash stands before a character that needs none. Pushpin drops
            such a backslash together with the character, so that a key would silently be another one.
    """
    elements: list[str] = []
    element = ""
    kept_count = 0  # characters at the element's start that came out of quotes or escapes: not to be trimmed
    for piece in _PIECE.finditer(text):
        kind = piece.lastgroup
        if kind == "broken":
            raise ValueError("has an unclosed quote" if piece[0] == '"' else "ends in a backslash")
        if kind == "comment":
            break
        if kind == "comma":
            elements.append(_trim(element, kept_count))
            element, kept_count = "", 0
        elif kind == "plain":
            element += piece[0] if element else piece[0].lstrip()
        else:
            element += _unescape(piece["quoted"] if kind == "quoted" else piece[0])
            kept_count = len(element)
    return [*elements, _trim(element, kept_count)]


def _trim(element: str, kept_count: int) -> str:
    return element[:kept_count] + element[kept_count:].rstrip()


def _unescape(text: str) -> str:
    return _ESCAPE.sub(_resolve, text)


def _resolve(escape: re.Match[str]) -> str:
    code = escape[1]
    if len(code) > 1:
        return chr(int(code[1:], 16))
    if code in _LITERAL_ESCAPES:
        return code
    if code not in _ESCAPES:
        raise ValueError(f"has an unknown escape \\{code}: write a backslash as \\\\")
    return _ESCAPES[code]
