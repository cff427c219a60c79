"""The manual pages."""

import argparse
import re
import textwrap
from email.utils import parsedate_to_datetime
from pathlib import Path

from deploy.reference.commands import (
    Command,
    commands,
    help_of,
    main_command,
    options_of,
    positionals_of,
    publish_command,
    value_of,
)
from deploy.reference.roff import Page, bold, escape, italic
from deploy.reference.settings_text import SECTIONS, facts, other_names, read_entries, read_preface
from gripproxy import __version__, cli

FILES = (
    ("/etc/gripproxy/gripproxy.conf", "Configuration; see gripproxy.conf(5)."),
    ("/etc/gripproxy/routes", "Which origin answers what; see gripproxy-routes(5). A change takes effect by itself."),
    ("/etc/gripproxy/runner/certs/", "Certificates and keys for https_ports."),
    ("/run/gripproxy/", "Unix sockets, and the pid of the supervisor."),
    ("/var/log/gripproxy/", "For --logfile; without it the log is on standard error, and so in the journal."),
)
SEE_ALSO = ("gripproxy(8)", "gripproxy-publish(1)", "gripproxy.conf(5)", "gripproxy-routes(5)")


def render_all(root: Path) -> dict[str, str]:
    """Make all pages, by file name. `root` is the source tree."""
    conf = (root / "deploy" / "gripproxy.conf").read_text()
    routes = (root / "deploy" / "routes").read_text()
    debian = root / "debian" if (root / "debian").is_dir() else root / "deploy" / "debian"
    edition = (__version__, _day((debian / "changelog").read_text()))
    return {
        "gripproxy.8": _program_page(edition),
        "gripproxy-publish.1": _publish_page(edition),
        "gripproxy.conf.5": conf_page(conf, edition),
        "gripproxy-routes.5": routes_page(routes, edition),
    }


def _day(changelog: str) -> str:
    """Give the day of the newest entry in Debian's changelog."""
    match = re.search(r"^ -- .*>  (.+)$", changelog, re.MULTILINE)
    assert match is not None
    return parsedate_to_datetime(match[1]).strftime("%Y-%m-%d")


def _program_page(edition: tuple[str, str]) -> str:
    main = main_command()
    page = Page("gripproxy", 8, main.summary, edition)
    page.section("Synopsis")
    page.raw_paragraph(_synopsis(main.parser))
    for command in commands():
        page.raw_paragraph(_synopsis(command.parser))
    page.section("Description")
    page.paragraph(main.parser.description or "")
    page.section("Options")
    _add_options(page, main.parser)
    _add_epilog(page, cli.HELP_EPILOG)
    page.section("Commands in full")
    for command in commands():
        _add_command(page, command)
    page.section("Files")
    for path, text in FILES:
        page.item(italic(path), text)
    _add_see_also(page, "gripproxy(8)")
    return page.render()


def _publish_page(edition: tuple[str, str]) -> str:
    command = publish_command()
    page = Page(command.name, 1, command.summary, edition)
    page.section("Synopsis")
    page.raw_paragraph(_synopsis(command.parser))
    page.section("Description")
    page.paragraph(command.parser.description or "")
    page.section("Options")
    _add_options(page, command.parser)
    _add_epilog(page, (command.parser.epilog or "") % {"prog": command.name})
    _add_see_also(page, "gripproxy-publish(1)")
    return page.render()


def conf_page(text: str, edition: tuple[str, str]) -> str:
    """Make gripproxy.conf(5) of the example file."""
    page = Page("gripproxy.conf", 5, "configuration of the GRIP push proxy", edition)
    page.section("Description")
    for paragraph in read_preface(text):
        page.paragraph(paragraph)
    page.paragraph("SIGHUP has the file read again. What needs a restart also changes with: gripproxy upgrade")
    sections = read_entries(text)
    for name in SECTIONS:
        page.section(f"[{name}]")
        for entry in sections[name]:
            takes = "; ".join(f"{key.name}: {', '.join(facts(key))}" for key in entry.keys)
            page.item(", ".join(bold(key.name) for key in entry.keys), f"{entry.text} ({takes})")
    page.section("Other names")
    for key, like in other_names(sections):
        page.item(bold(key.name), f"in [{key.section}]: {like.name} in [{like.section}]")
    _add_see_also(page, "gripproxy.conf(5)")
    return page.render()


def routes_page(text: str, edition: tuple[str, str]) -> str:
    """Make gripproxy-routes(5) of the comments in the example file."""
    page = Page("gripproxy-routes", 5, "which origin answers which requests of the GRIP push proxy", edition)
    page.section("Description")
    blocks = text.split("\n#\n")
    for block in blocks:
        lines = [line.removeprefix("#").removeprefix(" ") for line in block.splitlines() if line.startswith("#")]
        plain = [line for line in lines if not line.startswith("  ")]
        indented = [line.strip("\n") for line in lines if line.startswith("  ")]
        if plain:
            page.paragraph(" ".join(plain))
        _add_table(page, indented)
    _add_see_also(page, "gripproxy-routes(5)")
    return page.render()


def _add_table(page: Page, lines: list[str]) -> None:
    """Add what stands in columns as a list, and all else as it is."""
    entries: list[list[str]] = []
    for line in lines:
        tag, gap, text = line.strip().partition("  ")
        if line.startswith(" " * 20) and entries:
            entries[-1][1] += " " + line.strip()
        else:
            entries.append([tag, text.strip() if gap else ""])
    if entries and not any(text for _, text in entries):
        page.verbatim(line for line in lines)
        return
    for tag, text in entries:
        page.item(bold(tag), text)


def _add_command(page: Page, command: Command) -> None:
    page.subsection(f"gripproxy {command.name}")
    if command.name == "publish":
        page.paragraph(f"{command.parser.description} See gripproxy-publish(1), which is the same.")
        return
    page.paragraph(command.parser.description or "")
    _add_options(page, command.parser)
    if command.parser.epilog:
        page.verbatim((command.parser.epilog % {"prog": command.parser.prog}).strip("\n").splitlines())


def _add_options(page: Page, parser: argparse.ArgumentParser) -> None:
    for action in positionals_of(parser):
        page.item(italic(value_of(action)), help_of(action, parser))
    for action in options_of(parser):
        value = value_of(action)
        names = ", ".join(map(bold, action.option_strings))
        page.item(f"{names} {italic(value)}" if value else names, help_of(action, parser) or "As for gripproxy itself.")


def _add_epilog(page: Page, epilog: str) -> None:
    """Add the end of a help text: its titles become sections."""
    title, lines = "", list[str]()
    for line in [*epilog.strip("\n").splitlines(), "end:"]:
        is_title = line and not line.startswith(" ") and ":" in line
        if is_title and lines:
            page.section(title)
            page.verbatim(textwrap.dedent("\n".join(lines)).strip("\n").splitlines())
        if is_title:
            title, _, rest = line.partition(":")
            lines = [rest.strip()] if rest.strip() else []
        else:
            lines.append(line)


def _synopsis(parser: argparse.ArgumentParser) -> str:
    parts = [bold(parser.prog)]
    for action in options_of(parser):
        value = value_of(action)
        text = bold(action.option_strings[-1]) + (f" {italic(value)}" if value else "")
        parts.append(text if action.required else f"[{text}]")
    for action in positionals_of(parser):
        text = italic(value_of(action))
        parts.append(f"[{text}]" if action.nargs == "?" else text)
    return "\n".join(parts)


def _add_see_also(page: Page, own_name: str) -> None:
    page.section("See also")
    others = [name for name in SEE_ALSO if name != own_name]
    page.raw_paragraph(", ".join(escape(name) for name in others))
