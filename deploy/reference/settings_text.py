"""What deploy/gripproxy.conf says of each key, together with what the program's table says of it."""

import re
from dataclasses import dataclass, field

from gripproxy.config_keys import KEYS, Key, Kind, Status

SECTIONS = ("global", "runner", "proxy", "handler")

_VALUE_FORMS = {
    Kind.BOOLEAN: "true or false",
    Kind.INTEGER: "a whole number",
    Kind.NUMBER: "a number",
    Kind.OCTAL: "an octal number",
    Kind.TEXT: "text",
    Kind.SPEC: "tcp://ADDRESS:PORT or ipc://PATH",
    Kind.SPEC_LIST: "a list of tcp://ADDRESS:PORT or ipc://PATH",
    Kind.TEXT_LIST: "a list",
    Kind.LISTENERS: "a list of PORT, ADDRESS:PORT or [V6]:PORT",
    Kind.LOG_LEVEL: "N or N,NAME:N,...",
    Kind.FORWARDED_PROTOCOL: "true, false or proto-only",
    Kind.FORWARDED_FOR: "a list of append and truncate:N",
    Kind.ADDRESS: "an address",
    Kind.PORT: "a port",
    Kind.WORKERS: "a whole number",
    Kind.SIGNING_KEY: "text, base64:TEXT or file:PATH",
    Kind.METRICS_ADDRESS: "PORT, ADDRESS:PORT or ipc://PATH",
    Kind.NETWORKS: "a list of ADDRESS, ADDRESS/BITS and unix:",
    Kind.TLS_LISTENERS: "a list of PORT, ADDRESS:PORT or [V6]:PORT",
    Kind.LOCAL_LISTENERS: "a list of paths",
    Kind.CURVE_KEY: "Z85 text or file:PATH",
    Kind.CURVE_KEYS: "a list of Z85 texts or file:PATH",
    Kind.LOG_EVENTS: "a list of request, hold and publish",
    Kind.LOG_FORMAT: "text or json",
}
_BOUNDED = (Kind.INTEGER, Kind.NUMBER, Kind.WORKERS)
_NO_BOUND = 2**31 - 1
_ASSIGNMENT = re.compile(r"^(#?)([a-z0-9_]+)=(.*)$")


@dataclass(slots=True)
class Entry:
    """One or more keys that are explained together: `lines` are assignments as the file has them."""

    keys: list[Key] = field(default_factory=list)
    text: str = ""
    lines: list[str] = field(default_factory=list)


def read_preface(text: str) -> list[str]:
    """Give the paragraphs above the first section."""
    head = text.partition("\n[")[0]
    return [_unwrapped(block) for block in head.split("\n#\n")]


def read_entries(text: str) -> dict[str, list[Entry]]:
    """Give the entries of each section in the file's order.

    Raises:
        LookupError: the file has a key that the program does not know.
    """
    sections: dict[str, list[Entry]] = {name: [] for name in SECTIONS}
    section = ""
    for block in re.split(r"\n\s*\n", text):
        lines = block.strip().splitlines()
        if lines and lines[0].startswith("["):
            section = lines.pop(0).strip("[]")
        if section and lines:
            sections[section].append(_read_entry(section, lines))
    return sections


def other_names(sections: dict[str, list[Entry]]) -> list[tuple[Key, Key]]:
    """Pair each key that has no entry, being a further name of another one, with that."""
    documented = {
        key.field or key.name: key for entries in sections.values() for entry in entries for key in entry.keys
    }
    shown = set(map(id, documented.values()))
    used = [key for key in KEYS.values() if key.status is Status.USED]
    return [(key, documented[key.field or key.name]) for key in used if id(key) not in shown]


def keys_without_effect(status: Status) -> list[Key]:
    """Give the keys of the reference that change nothing here."""
    return [key for key in KEYS.values() if key.status is status]


def facts(key: Key) -> list[str]:
    """Say what a key takes, in a few words each."""
    found = [_value_form(key)]
    if key.needs_restart:
        found.append("a change needs a restart or an upgrade")
    return found


def _value_form(key: Key) -> str:
    form = _VALUE_FORMS[key.kind]
    if key.unit and key.kind in _BOUNDED:
        form += f" of {key.unit}"
    if key.kind in _BOUNDED:
        form += f" from {key.low:g}" if key.high >= _NO_BOUND else f" from {key.low:g} to {key.high:.15g}"
    return form


def _read_entry(section: str, lines: list[str]) -> Entry:
    entry = Entry()
    comments = []
    for line in lines:
        match = _ASSIGNMENT.match(line)
        if match is None:
            comments.append(line)
            continue
        key = KEYS.get((section, match[2]))
        if key is None:
            raise LookupError(f"gripproxy.conf has an unknown key: [{section}] {match[2]}")
        entry.keys.append(key)
        entry.lines.append(line)
    entry.text = _unwrapped("\n".join(comments))
    return entry


def _unwrapped(block: str) -> str:
    return " ".join(line.removeprefix("#").strip() for line in block.splitlines()).strip()
