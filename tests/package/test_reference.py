"""Manual pages, completion and the configuration reference say what the program does."""

import argparse
import subprocess
from pathlib import Path

import pytest

from deploy.reference import completion, configuration_md, man_pages
from deploy.reference.__main__ import CONFIGURATION_PATH, ROOT
from deploy.reference.commands import commands, main_command, options_of, publish_command
from deploy.reference.settings_text import other_names, read_entries
from gripproxy.config_keys import KEYS, Status
from tests.installed import require

CONF_TEXT = (ROOT / "deploy" / "gripproxy.conf").read_text()
PAGES = man_pages.render_all(ROOT)
PARSERS = {"": main_command().parser} | {command.name: command.parser for command in commands()}


def option_names(parser: argparse.ArgumentParser) -> set[str]:
    """Give all spellings of all options."""
    return {name for action in options_of(parser) for name in action.option_strings}


def test_configuration_page_is_up_to_date() -> None:
    """It is committed, so that it can be read where the code is read."""
    assert CONFIGURATION_PATH.read_text() == configuration_md.render(CONF_TEXT), "run: make reference"


def test_every_key_is_on_the_pages() -> None:
    """Each key that does something has an entry, or is another name of one that has."""
    sections = read_entries(CONF_TEXT)
    shown = {id(key) for entries in sections.values() for entry in entries for key in entry.keys}
    shown |= {id(key) for key, _ in other_names(sections)}
    assert [key.name for key in KEYS.values() if key.status is Status.USED and id(key) not in shown] == []


def test_key_that_needs_a_restart_says_so() -> None:
    """An operator who edits the file sees what a reload will do."""
    rows = {line.split("|")[1].strip(): line for line in CONFIGURATION_PATH.read_text().splitlines() if "|" in line}
    assert rows["`workers`"].endswith("| restart |")
    assert rows["`log_level`"].endswith("| in place |")


@pytest.mark.parametrize("name", PAGES)
def test_manual_page_is_clean(name: str, tmp_path: Path) -> None:
    """No warning of mandoc's, not even one of style."""
    require("mandoc")
    path = tmp_path / name
    path.write_text(PAGES[name])
    result = subprocess.run(["mandoc", "-T", "lint", "-W", "style", path], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def test_manual_page_shows_every_option_of_every_command(tmp_path: Path) -> None:
    """As a reader sees it, on a terminal."""
    require("mandoc")
    path = tmp_path / "page"
    path.write_text(PAGES["gripproxy.8"] + PAGES["gripproxy-publish.1"])
    command = ["mandoc", "-T", "utf8", "-O", "width=200", path]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    shown = text.replace("\b", "")
    for name, parser in PARSERS.items():
        for option in option_names(parser):
            doubled = "".join(letter * 2 for letter in option)  # bold, as typewriters did
            assert doubled in shown, f"gripproxy {name} {option}"


def test_routes_page_has_every_property() -> None:
    """Those that the example file explains."""
    page = PAGES["gripproxy-routes.5"]
    for name in ("path_beg=/api/", "over_http", "trust_connect_host", "jsonp_defmethod=NAME"):
        assert f"\\fB{name}" in page or f", {name}" in page, name


def complete_in_bash(script: Path, *words: str) -> set[str]:
    """Give what bash offers for the last of these words."""
    require("bash", "/usr/share/bash-completion/bash_completion")
    quoted = " ".join(f"'{word}'" for word in words)
    program = f"""
        source /usr/share/bash-completion/bash_completion; source {script}
        COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; COMP_LINE="{" ".join(words)}"; COMP_POINT=${{#COMP_LINE}}
        _gripproxy; printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    result = subprocess.run(["bash", "--norc", "-c", program], capture_output=True, text=True, check=True)
    assert result.stderr == ""
    return set(result.stdout.split())


@pytest.fixture
def bash_script(tmp_path: Path) -> Path:
    """Give the completion as it is installed."""
    path = tmp_path / "gripproxy"
    path.write_text(completion.bash())
    return path


@pytest.mark.parametrize("name", PARSERS)
def test_bash_offers_every_option(name: str, bash_script: Path) -> None:
    """And no others."""
    words = ["gripproxy", name, "-"] if name else ["gripproxy", "-"]
    assert complete_in_bash(bash_script, *words) == option_names(PARSERS[name])


def test_bash_offers_commands_and_files(bash_script: Path, tmp_path: Path) -> None:
    """Commands as the first word only, files where an option takes one."""
    assert complete_in_bash(bash_script, "gripproxy", "") >= {"check", "doctor", "publish", "tail", "top"}
    assert complete_in_bash(bash_script, "gripproxy", "t") == {"tail", "top"}
    assert complete_in_bash(bash_script, "gripproxy-publish", "--cl") == {"--close"}
    (tmp_path / "some.conf").touch()
    assert complete_in_bash(bash_script, "gripproxy", "check", "--config", f"{tmp_path}/s") == {f"{tmp_path}/some.conf"}
    assert complete_in_bash(bash_script, "gripproxy", "top", "--url", "") == set()
    assert complete_in_bash(bash_script, "gripproxy", "tail", "--kind", "") == {"request", "hold", "publish"}


def complete_in_zsh(script: Path, *words: str) -> str:
    """Give what zsh's own functions are told to offer for the last of these words."""
    require("zsh")
    quoted = " ".join(f"'{word}'" for word in words)
    program = f"""
        _arguments() {{ print -rl -- "$@" }}; _describe() {{ print -rl -- "${{(@P)2}}" }}
        words=({quoted}); CURRENT={len(words)}; service={words[0]}; source {script}
    """
    return subprocess.run(["zsh", "-f", "-c", program], capture_output=True, text=True, check=True).stdout


def test_zsh_offers_every_option(tmp_path: Path) -> None:
    """With its help, by the command that stands before it."""
    path = tmp_path / "_gripproxy"
    path.write_text(completion.zsh())
    for name, parser in PARSERS.items():
        words = ["gripproxy", name, "--"] if name else ["gripproxy", "--"]
        output = complete_in_zsh(path, *words)
        offered = {line.partition("[")[0] for line in output.splitlines() if line.startswith("-")}
        assert offered == option_names(parser), name
    assert "doctor:check this machine" in complete_in_zsh(path, "gripproxy", "")
    assert "--close[" in complete_in_zsh(path, "gripproxy-publish", "--")


def test_programs_of_their_own_are_named_by_that() -> None:
    """gripproxy-publish is called without a space."""
    assert publish_command().parser.prog == "gripproxy-publish"
    assert "\\fBgripproxy\\-publish\\fR" in PAGES["gripproxy-publish.1"]
