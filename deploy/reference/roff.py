"""Text in the language of manual pages, man(7)."""

import textwrap
from collections.abc import Iterable

LINE_MAX_WIDTH = 72


def escape(text: str) -> str:
    """Make text show as it is."""
    return (
        text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("^", "\\(ha").replace("~", "\\(ti")
    )


def bold(text: str) -> str:
    """Show text bold."""
    return f"\\fB{escape(text)}\\fR"


def italic(text: str) -> str:
    """Show text in italics, or underlined."""
    return f"\\fI{escape(text)}\\fR"


class Page:
    """A manual page under way."""

    def __init__(self, name: str, section: int, summary: str, edition: tuple[str, str]) -> None:
        """Begin the page.

        Args:
            edition: the program's version, and the day as YYYY-MM-DD.
        """
        version, day = edition
        self._lines = [f'.TH {name.upper()} {section} "{day}" "gripproxy {version}"']
        self.section("Name")
        self._lines.append(f"{escape(name)} \\- {escape(summary)}")

    def section(self, title: str) -> None:
        """Begin a section."""
        self._lines.append(f".SH {title.upper()}")

    def subsection(self, title: str) -> None:
        """Begin a part of a section."""
        self._lines.append(f'.SS "{escape(title)}"')

    def paragraph(self, text: str) -> None:
        """Add a paragraph of plain text."""
        self.raw_paragraph(escape(_filled(text)))

    def raw_paragraph(self, text: str) -> None:
        """Add a paragraph that is escaped already."""
        # Behind a heading a paragraph begins by itself.
        if not self._lines[-1].startswith((".SH", ".SS")):
            self._lines.append(".PP")
        self._text(text)

    def item(self, tag: str, text: str) -> None:
        """Add an entry of a list; `tag` is escaped already."""
        self._lines += [".TP", tag]
        self._text(escape(_filled(text)))

    def verbatim(self, lines: Iterable[str]) -> None:
        """Add lines that stay as they are."""
        if not self._lines[-1].startswith((".SH", ".SS")):
            self._lines.append(".PP")
        self._lines += [".nf", *map(_protected, map(escape, lines)), ".fi"]

    def render(self) -> str:
        """Give the page."""
        return "\n".join(self._lines) + "\n"

    def _text(self, text: str) -> None:
        self._lines += [_protected(line) for line in text.splitlines() if line]


def _filled(text: str) -> str:
    return textwrap.fill(text, LINE_MAX_WIDTH, break_long_words=False, break_on_hyphens=False)


def _protected(line: str) -> str:
    """Keep a line from being taken for an instruction."""
    return f"\\&{line}" if line.startswith((".", "'")) else line
