"""The commands and their parsers, as the program has them."""

import argparse
import importlib
import re
from dataclasses import dataclass

from gripproxy import cli

PUBLISH_PROGRAM = "gripproxy-publish"


@dataclass(slots=True)
class Command:
    """One command: `name` is empty for the program itself, `summary` is what its help says of it in a few words."""

    name: str
    parser: argparse.ArgumentParser
    summary: str


def main_command() -> Command:
    """Give the command without a name, which runs the proxy."""
    parser = cli.new_parser()
    return Command("", parser, "GRIP push proxy")


def commands() -> list[Command]:
    """Give all commands with a name, in the order of the program's help."""
    found = [Command(name, _parser(name), _summary(name)) for name in cli.COMMANDS]
    return sorted(found, key=lambda command: cli.HELP_EPILOG.find(f"  gripproxy {command.name}"))


def publish_command() -> Command:
    """Give the command that is also a program of its own, as that."""
    command = Command(PUBLISH_PROGRAM, _parser("publish"), "publish an item to a GRIP proxy")
    command.parser.prog = PUBLISH_PROGRAM
    return command


def options_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Give what begins with a dash."""
    return [action for action in parser._actions if action.option_strings]


def positionals_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Give what does not."""
    return [action for action in parser._actions if not action.option_strings]


def help_of(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    """Give an option's help with its default filled in."""
    if not action.help:
        return ""
    return action.help % {**vars(action), "prog": parser.prog}


def value_of(action: argparse.Action) -> str:
    """Name the value that an option takes; empty if it takes none."""
    if action.nargs == 0:
        return ""
    if action.metavar is not None:
        return str(action.metavar)
    if action.choices is not None:
        return "|".join(map(str, action.choices))
    return action.dest.upper()


def _parser(name: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = importlib.import_module(cli.COMMANDS[name]).new_parser()
    parser.prog = f"gripproxy {name}"
    return parser


def _summary(name: str) -> str:
    """Take the words of the program's help."""
    match = re.search(rf"^  gripproxy {name}\b.*?  +(\S.*)$", cli.HELP_EPILOG, re.MULTILINE)
    if match is None:
        raise LookupError(f"the help of gripproxy does not name the command {name!r}")
    return match[1]
