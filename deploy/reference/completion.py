"""Completion for bash and zsh."""

import argparse

from deploy.reference.commands import commands, help_of, main_command, options_of, publish_command, value_of

FILE_VALUES = ("FILE",)
DIRECTORY_VALUES = ("DIR",)

_BASH_HEAD = """\
# bash completion of gripproxy and gripproxy-publish: made of their parsers

_gripproxy() {
    local cur prev words cword
    _init_completion || return
    local command=${words[1]} options= commands=
    [[ ${words[0]##*/} == gripproxy-publish ]] && command=publish
    case $command in
"""
_BASH_TAIL = """\
    esac
    case $prev in
        {file_options}) _filedir; return ;;
        {directory_options}) _filedir -d; return ;;
{choices}        {value_options}) return ;;
    esac
    [[ $cword -eq 1 && $command != publish && $cur != -* ]] && options=$commands
    COMPREPLY=($(compgen -W "$options" -- "$cur"))
}

complete -F _gripproxy gripproxy gripproxy-publish
"""


def bash() -> str:
    """Make the completion for bash."""
    named = commands()
    lines = []
    for command in named:
        lines.append(f"        {command.name}) options='{' '.join(_names(command.parser))}' ;;")
    main = main_command().parser
    lines.append(f"        *) options='{' '.join(_names(main))}'; commands='{' '.join(c.name for c in named)}' ;;")
    choices: dict[str, str] = {}
    by_kind: dict[str, set[str]] = {"file": set(), "directory": set(), "value": set()}
    for parser in [main, *(command.parser for command in named)]:
        for action in options_of(parser):
            if action.choices is not None:
                choices["|".join(action.option_strings)] = " ".join(map(str, action.choices))
            elif value_of(action):
                by_kind[_kind(action)].update(action.option_strings)
    # The same name may take a file in one command and something else in another.
    by_kind["value"] -= by_kind["file"] | by_kind["directory"]
    tail = _BASH_TAIL.replace("{choices}", "".join(f"        {_bash_choices(*each)}\n" for each in choices.items()))
    for kind, names in by_kind.items():
        tail = tail.replace(f"{{{kind}_options}}", "|".join(sorted(names)))
    return _BASH_HEAD + "\n".join(lines) + "\n" + tail


def _bash_choices(names: str, words: str) -> str:
    return f"""{names}) COMPREPLY=($(compgen -W '{words}' -- "$cur")); return ;;"""


def zsh() -> str:
    """Make the completion for zsh."""
    parts = ["#compdef gripproxy gripproxy-publish", "# zsh completion: made of the programs' parsers", ""]
    named = commands()
    parts += ["_gripproxy_commands() {", "    local -a commands=("]
    parts += [f"        {_quoted(f'{_colons(c.name)}:{c.summary}')}" for c in named]
    parts += ["    )", "    _describe command commands", "}", ""]
    for name, parser in [
        ("publish", publish_command().parser),
        *((c.name, c.parser) for c in named if c.name != "publish"),
    ]:
        parts += [f"_gripproxy_{name}() {{", *_zsh_arguments(parser, ["'*::: :'"]), "}", ""]
    parts += ["_gripproxy() {"]
    parts += [
        "    if [[ $service == gripproxy-publish ]]; then",
        "        _gripproxy_publish",
        "        return",
        "    fi",
    ]
    parts += ["    if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then", "        _gripproxy_commands"]
    parts += ["    elif (( CURRENT > 2 && $+functions[_gripproxy_$words[2]] )); then"]
    parts += ["        shift words", "        (( CURRENT-- ))", "        _gripproxy_$words[1]", "    else"]
    parts += ["    " + line for line in _zsh_arguments(main_command().parser, [])]
    parts += ["    fi", "}", "", '_gripproxy "$@"']
    return "\n".join(parts) + "\n"


def _names(parser: argparse.ArgumentParser) -> list[str]:
    return [name for action in options_of(parser) for name in action.option_strings]


def _kind(action: argparse.Action) -> str:
    value = value_of(action)
    if value in FILE_VALUES:
        return "file"
    return "directory" if value in DIRECTORY_VALUES else "value"


def _zsh_arguments(parser: argparse.ArgumentParser, rest: list[str]) -> list[str]:
    specs = []
    for action in options_of(parser):
        value = value_of(action)
        for name in action.option_strings:
            help_text = help_of(action, parser).replace("[", "(").replace("]", ")")
            spec = f"{name}[{help_text}]" + (f":{_colons(value)}:{_zsh_values(action)}" if value else "")
            specs.append(_quoted(spec))
    return [
        "    _arguments \\",
        *(f"        {spec} \\" for spec in specs),
        *(f"        {spec}" for spec in rest or ["'*: :'"]),
    ]


def _zsh_values(action: argparse.Action) -> str:
    if action.choices is not None:
        return f"({' '.join(map(str, action.choices))})"
    return {"file": "_files", "directory": "_files -/", "value": " "}[_kind(action)]


def _colons(text: str) -> str:
    return text.replace(":", "\\:")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
