"""The table of keys agrees with `Settings` and with the example file that users start from."""

import dataclasses
import re
from pathlib import Path

import pytest

from gripproxy.config_keys import KEYS, NEEDS_RESTART, Key, Status, is_private_endpoint
from gripproxy.ini import parse_ini
from gripproxy.settings import Settings

EXAMPLE = Path(__file__).parent.parent / "deploy" / "gripproxy.conf"
SETTINGS_WITHOUT_KEY = {"generation", "config_path", "routes"}
OWN_KEYS = [key for key in KEYS.values() if key.status is Status.USED]
# Other names of keys that the example shows.
OLD_NAMES = {
    ("runner", "rundir"),
    ("proxy", "workers"),
    ("handler", "push_in_sub_spec"),
    ("handler", "push_in_max_headers_size"),
    ("handler", "push_in_max_body_size"),
}


def test_every_setting_has_its_key() -> None:
    """A setting that no file can set is a constant."""
    names = {key.field or key.name for key in KEYS.values() if key.field or key.status is Status.USED}
    fields = {field.name for field in dataclasses.fields(Settings)} - SETTINGS_WITHOUT_KEY
    assert fields - names == set()
    assert names - fields == {"include"}


@pytest.mark.parametrize("key", OWN_KEYS, ids=lambda key: f"{key.section}.{key.name}")
def test_example_file_shows_every_key_with_its_shipped_value(key: Key) -> None:
    """The example is the reference of settings; what it lacks does not exist for a reader."""
    values, _ = parse_ini(EXAMPLE.read_text(), str(EXAMPLE))
    value = values.get((key.section, key.name))
    if (key.section, key.name) in OLD_NAMES:
        assert value is None
    elif value is None:
        assert not key.shipped
        assert re.search(rf"^#{key.name}=", EXAMPLE.read_text(), re.MULTILINE)
    else:
        assert value.text == key.shipped


def test_example_file_states_units_and_defaults() -> None:
    """Seconds and milliseconds are told apart in the file itself."""
    paragraphs = re.split(r"\n\s*\n", EXAMPLE.read_text())
    for key in OWN_KEYS:
        owners = [text for text in paragraphs if re.search(rf"^#?{key.name}=", text, re.MULTILINE)]
        if (key.section, key.name) not in OLD_NAMES:
            assert any("efault" in text for text in owners), key.name
            assert any(key.unit in text.lower() for text in owners), f"{key.name} is in {key.unit}"


def test_settings_that_need_a_restart_are_settings() -> None:
    """A name that is misspelt there would let a reload change what it cannot; old names need one as the new do."""
    assert {key.field or key.name for key in KEYS.values() if key.needs_restart} == NEEDS_RESTART
    assert KEYS["proxy", "workers"].needs_restart
    assert not KEYS["runner", "log_level"].needs_restart


def test_sockets_between_the_references_processes_are_known_by_their_form() -> None:
    """Packages patch them into the main file; they mean nothing here."""
    assert is_private_endpoint("zurl_out_stream_specs")
    assert is_private_endpoint("handler_retry_in_spec")
    assert not is_private_endpoint("push_in_spec")
    assert not is_private_endpoint("handler_speed")
