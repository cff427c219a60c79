"""The grammar of one line of a routes file: sections of a value and its properties, with quoting and comments."""

from dataclasses import dataclass

from gripproxy.errors import GripProxyError

# Only the space separates sections. A tab does not, and a "#" starts a comment even within a word.
SECTION_END = " #"
TOKEN_END = SECTION_END + ","


class RouteLineError(GripProxyError):
    """The line is no route: it is skipped with this text as a warning, and the others load."""


@dataclass(slots=True)
class Section:
    """``VALUE,NAME=ARGUMENT,...``: a condition or a target. A property without ``=`` has an empty argument."""

    value: str
    properties: list[tuple[str, str]]

    def has(self, name: str) -> bool:
        """Tell whether a flag is on. Its argument does not count: ``debug=false`` is on."""
        return any(name == each for each, _ in self.properties)

    def last(self, name: str) -> str | None:
        """Give the argument of a property of which the last one counts."""
        for each, argument in reversed(self.properties):
            if each == name:
                return argument
        return None

    def all(self, name: str) -> list[str]:
        """Give every argument of a repeatable property, the last one first, as the reference applies them."""
        return [argument for each, argument in reversed(self.properties) if each == name]


def split_route_line(line: str) -> list[Section]:
    """Split a line into its sections; none for a blank or comment-only line.

    Raises:
        RouteLineError: the quoting is broken, or a property has no name. The texts are the reference's.

    Source: routes of Pushpin 1.36, as observed.
    """
    sections: list[Section] = []
    position = 0
    while position < len(line) and line[position] != "#":
        if line[position] == " ":
            position += 1
            continue
        section, position = _read_section(line, position)
        sections.append(section)
    return sections


def _read_section(line: str, position: int) -> tuple[Section, int]:
    """Read from the section's first character up to the space, "#" or line end behind it."""
    first, position = _read_token(line, position)
    # A value never holds "=": such a first token is a property already, of a section without a value.
    section = Section("", [_property(first)]) if "=" in first else Section(first, [])
    while position < len(line) and line[position] == ",":
        position += 1
        if position == len(line) or line[position] in TOKEN_END:
            raise RouteLineError("expecting prop")
        token, position = _read_token(line, position)
        section.properties.append(_property(token))
    return section, position


def _property(token: str) -> tuple[str, str]:
    name, _, argument = token.partition("=")
    if not name:
        raise RouteLineError("empty prop name")
    return name, argument


def _read_token(line: str, position: int) -> tuple[str, int]:
    """Read a token, joining its quoted and its plain parts, and give the position behind it."""
    parts: list[str] = []
    while position < len(line) and line[position] not in TOKEN_END:
        if line[position] == '"':
            part, position = _read_quoted(line, position + 1)
        else:
            start = position
            while position < len(line) and line[position] not in TOKEN_END and line[position] != '"':
                position += 1
            part = line[start:position]
        parts.append(part)
    return "".join(parts), position


def _read_quoted(line: str, position: int) -> tuple[str, int]:
    """Read from behind the opening quote and give the position behind the closing one."""
    characters: list[str] = []
    while position < len(line):
        character = line[position]
        position += 1
        if character == '"':
            return "".join(characters), position
        if character == "\\":
            if position == len(line):
                raise RouteLineError("unterminated escape sequence")
            character = line[position]
            position += 1
            if character not in '\\"':
                raise RouteLineError(f"unexpected escape character: {character}")
        characters.append(character)
    raise RouteLineError("unterminated quoted section")
