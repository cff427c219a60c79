r"""The ``%`` language of filters: ``%(name)s``, ``%I``, ``%%`` in a text that is otherwise taken as it is.

A directive is a letter after ``%``, with an argument in parentheses before it; ``\`` in the argument takes the next
byte as it is. Which letters there are is the filter's business. Source: Pushpin's format.cpp, with its error texts.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gripproxy.errors import FilterError

PARTS_MAX_COUNT = 100_000  # of a text: four bytes of it make two parts, which are objects
RENDERED_MAX_BYTES = (
    1024 * 1024
)  # of values put in: two bytes could become a long id each, other ones for every receiver
SHOWN_MAX_COUNT = 80  # characters of a name in an error text: enough to recognize it

_DIRECTIVE = re.compile(rb"%(?:(%)|([A-Za-z])|\(((?:[^\\)]++|\\.)*+)\)(.))", re.DOTALL)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_OPEN_ARGUMENT = re.compile(rb"%\((?:[^\\)]++|\\.)*+", re.DOTALL)


@dataclass(slots=True)
class Directive:
    """``%(argument)x``; an empty argument is as good as none. `position` is that of the letter, for errors."""

    letter: int
    argument: bytes | None
    position: int


@dataclass(slots=True)
class Template:
    """A text taken apart, up to `end`: its whole length unless `error` says what is wrong there.

    `is_cut`: nothing is wrong yet, but the text ends within a directive.
    """

    parts: list[bytes | Directive]
    end: int
    error: str | None = None
    is_cut: bool = False


def parse_template(text: bytes, offset: int = 0) -> Template:
    """Find the directives of `text`. It is not an error yet if one is wrong: those before it come first.

    `offset` is where the text begins in what the reader of an error knows.
    """
    parts: list[bytes | Directive] = []
    position = 0
    while (percent := text.find(b"%", position)) >= 0:
        if percent > position:
            parts.append(text[position:percent])
        if len(parts) >= PARTS_MAX_COUNT:
            return Template(parts, percent, f"More than {PARTS_MAX_COUNT} parts at position {offset + percent}")
        match = _DIRECTIVE.match(text, percent)
        if match is None:
            return Template(parts, percent, *_fault(text, percent, offset))
        position = match.end()
        if match[1]:
            parts.append(b"%")
        else:
            argument = _ESCAPE.sub(rb"\1", match[3]) if match[3] else None
            parts.append(Directive(text[position - 1], argument, offset + position - 1))
    parts.append(text[position:])
    return Template(parts, len(text))


def _fault(text: bytes, percent: int, offset: int) -> tuple[str, bool]:
    """Say what is wrong with the directive at `percent`, and whether it is only that the text ends there."""
    last = len(text) - 1
    argument = _OPEN_ARGUMENT.match(text, percent)
    if argument is None and percent < last:
        position = offset + percent + 1
        return f"Unknown directive '{_shown_letter(text[percent + 1])}' at position {position}", False
    if argument is None:
        error = "Expected directive after '%'"
    elif percent + 1 == last:
        error = "Expected character after '('"
    elif argument.end() > last:
        return f"Unterminated field starting at position {offset + percent + 1}", True
    elif text[last] == ord(")"):
        error = "Expected directive after ')'"
    else:
        error = "Expected character after '\\'"
    return f"{error} at position {offset + last}", True


def render(template: Template, expand: Callable[[Directive], bytes], is_open: bool = False) -> bytes:
    """Put a template's text together, each directive replaced by what `expand` makes of it.

    Args:
        expand: raises FilterError with a text that names no position: that is added here.
        is_open: more text follows, so a directive that is only cut off is left to come with it.

    Raises:
        FilterError: names the first fault and its position.
    """
    rendered = []
    room_bytes = RENDERED_MAX_BYTES
    for part in template.parts:
        if type(part) is not bytes:
            assert isinstance(part, Directive)
            try:
                text = expand(part)
            except FilterError as error:
                raise FilterError(f"{error} at position {part.position}") from None
            room_bytes -= len(text)
            if room_bytes < 0:
                raise FilterError(f"Expands to more than {RENDERED_MAX_BYTES} bytes at position {part.position}")
            part = text
        rendered.append(part)
    if template.error is not None and not (is_open and template.is_cut):
        raise FilterError(template.error)
    return b"".join(rendered)


def substitute(template: Template, values: Mapping[str, str]) -> bytes:
    """Replace each ``%(name)s`` by the value of that name, and know no other directive.

    Raises:
        FilterError: with the position of the first fault.
    """

    def value_of(directive: Directive) -> bytes:
        if directive.letter != ord("s"):
            raise unknown_directive(directive.letter)
        if directive.argument is None:
            raise FilterError("Directive 's' requires argument")
        name = directive.argument.decode("utf-8", "replace")
        value = values.get(name)
        if value is None:
            raise FilterError(f"No such variable '{shown(name)}'")
        return value.encode("utf-8", "replace")

    return render(template, value_of)


def unknown_directive(letter: int) -> FilterError:
    """Make the refusal of a directive's letter."""
    return FilterError(f"Unknown directive '{_shown_letter(letter)}'")


def _shown_letter(letter: int) -> str:
    """Show one byte in an error text, which must stay one line."""
    return chr(letter) if 0x20 <= letter < 0x7F else f"\\x{letter:02x}"


def shown(text: str) -> str:
    """Show a name from outside in an error text, which must stay one line, and short."""
    if len(text) > SHOWN_MAX_COUNT:
        text = text[:SHOWN_MAX_COUNT] + "..."
    return text if text.isprintable() else ascii(text)[1:-1]
