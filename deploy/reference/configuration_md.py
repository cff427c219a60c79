"""docs/configuration.md: the reference of settings."""

from deploy.reference.settings_text import (
    SECTIONS,
    Entry,
    facts,
    keys_without_effect,
    other_names,
    read_entries,
    read_preface,
)
from gripproxy.config_keys import Key, Status

HEAD = """\
# Configuration

<!-- Made of deploy/gripproxy.conf and src/gripproxy/config_keys.py by: make reference -->

"""
CHANGES = """\
On SIGHUP (`systemctl reload gripproxy`) the whole file is read again. What says *restart* below changes with a restart
or with `gripproxy upgrade`, which drops nobody; all else changes in place. A file with a mistake changes nothing.
"""


def render(text: str) -> str:
    """Make the page of the example file's text."""
    sections = read_entries(text)
    parts = [HEAD + "\n\n".join(map(_markdown, read_preface(text))), CHANGES.rstrip()]
    for name in SECTIONS:
        parts.append(f"## [{name}]")
        parts += [_render_entry(entry) for entry in sections[name]]
    parts.append("## Other names")
    parts.append("Also read, as they stand in older files:")
    parts.append(
        "\n".join(f"- {_full(key)}: `{like.name}` in `[{like.section}]`" for key, like in other_names(sections))
    )
    parts.append("## Keys of Pushpin that do nothing here")
    unsupported = ", ".join(map(_full, keys_without_effect(Status.UNSUPPORTED)))
    parts.append(f"Of features that gripproxy lacks, which it says if they are set: {unsupported}.")
    unused = ", ".join(map(_full, keys_without_effect(Status.UNUSED)))
    parts.append(f"Of Pushpin's own processes, and nothing is lost without them: {unused}.")
    return "\n\n".join(parts) + "\n"


def _render_entry(entry: Entry) -> str:
    title = ", ".join(f"`{key.name}`" for key in entry.keys)
    rows = ["| key | takes | in the file | change |", "|---|---|---|---|"]
    for key, line in zip(entry.keys, entry.lines, strict=True):
        change = "restart" if key.needs_restart else "in place"
        rows.append(f"| `{key.name}` | {facts(key)[0].replace('|', '&#124;')} | `{line}` | {change} |")
    return f"### {title}\n\n{_markdown(entry.text)}\n\n" + "\n".join(rows)


def _markdown(text: str) -> str:
    """Keep what is no markup from being taken for it; between backticks nothing is."""
    parts = text.split("`")
    for index in range(0, len(parts), 2):
        for sign in ("*", "_", "<", "["):
            parts[index] = parts[index].replace(sign, f"\\{sign}")
    return "`".join(parts)


def _full(key: Key) -> str:
    return f"`{key.name}` in `[{key.section}]`"
