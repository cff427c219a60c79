"""The publish tool's reading of its command line: the items it makes are compared with those of Pushpin's tool."""

import argparse
import io
import json
import os
from pathlib import Path

import pytest

from gripproxy.protocol.publish_item import decode_frame, decode_publish_request
from gripproxy.protocol.tnetstring import decode, encode
from gripproxy.publish_command import UsageError, build_item, encode_json_body, main, new_parser


class Terminal(io.BytesIO):
    """A standard input that is a terminal."""

    def isatty(self) -> bool:
        return True


def options_of(*arguments: str) -> argparse.Namespace:
    return new_parser().parse_intermixed_args(arguments)


def item_of(*arguments: str, stdin: bytes | None = None) -> dict[str, object]:
    return build_item(options_of(*arguments), Terminal() if stdin is None else io.BytesIO(stdin))


def refusal_of(*arguments: str, stdin: bytes | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        item_of(*arguments, stdin=stdin)
    return str(caught.value)


# Captured from pushpin-publish 1.36.0.
REFERENCE_FRAMES = [
    (
        ("test", "hello"),
        b"156:7:channel,4:test,7:formats,124:11:http-stream,19:7:content,6:hello\n,}10:ws-message,18:7:content,5:hello,}"
        b"13:http-response,29:4:code,3:200#4:body,6:hello\n,}}}",
    ),
    (
        (
            *("test", "a", "-H", "A:  b ", "-H", "C:d", "-M", "k=v", "--sender", "s", "--id", "1", "--prev-id", "0"),
            *("--no-seq", "--code", "404", "--no-eol"),
        ),
        b"249:6:no-seq,4:true!7:formats,146:11:http-stream,14:7:content,1:a,}13:http-response,60:4:code,3:404#"
        b"7:headers,22:8:1:A,1:b,]8:1:C,1:d,]]4:body,1:a,}10:ws-message,14:7:content,1:a,}}2:id,1:1,7:prev-id,1:0,"
        b"7:channel,4:test,4:meta,21:6:sender,1:s,1:k,1:v,}}",
    ),
    (
        ("test", "--hint"),
        b"138:7:channel,4:test,7:formats,106:11:http-stream,16:6:action,4:hint,}10:ws-message,16:6:action,4:hint,}"
        b"13:http-response,16:6:action,4:hint,}}}",
    ),
    (
        ("test", "--close"),
        b"102:7:channel,4:test,7:formats,71:10:ws-message,17:6:action,5:close,}11:http-stream,17:6:action,5:close,}}}",
    ),
    (
        ("test", "--patch", '[{"op":"add","path":"/a","value":1.5}]', "--code", "201", "-H", "A: b"),
        b"150:7:channel,4:test,7:formats,118:13:http-response,97:7:headers,11:8:1:A,1:b,]]4:code,3:201#10:body-patch,"
        b"41:37:5:value,3:1.5^4:path,2:/a,2:op,3:add,}]}}}",
    ),
    (
        ("test", ""),
        b"141:7:formats,109:10:ws-message,13:7:content,0:,}13:http-response,24:4:body,1:\n,4:code,3:200#}"
        b"11:http-stream,14:7:content,1:\n,}}7:channel,4:test,}",
    ),
]


@pytest.mark.parametrize(("arguments", "frame"), REFERENCE_FRAMES)
def test_items_equal_those_of_the_reference(arguments: tuple[str, ...], frame: bytes) -> None:
    """Scripts change the program's name and nothing else."""
    item = item_of(*arguments)
    assert decode(encode(item)) == decode(frame)
    assert decode_publish_request(encode_json_body(item)) == [decode_frame(frame)]


def test_bytes_that_are_not_utf8_travel_as_base64_in_json(tmp_path: Path) -> None:
    """Captured from the reference too: JSON has no bytes."""
    (tmp_path / "content").write_bytes(b"file\xff\n")
    item = item_of("test", f"@{tmp_path}/content")
    assert json.loads(encode_json_body(item))["items"][0]["formats"] == {
        "http-response": {"body-bin": "ZmlsZf8K", "code": 200},
        "http-stream": {"content-bin": "ZmlsZf8K"},
        "ws-message": {"content-bin": "ZmlsZf8K"},
    }
    assert decode_frame(encode(item)).ws_message is not None


def test_argument_bytes_that_are_not_utf8_are_content() -> None:
    """Python reads them with surrogates; the wire must carry the bytes that were typed."""
    item = item_of("test", "--no-eol", os.fsdecode(b"x\xff"))
    stream = decode_frame(encode(item)).http_stream
    assert stream is not None and stream.content == b"x\xff"


def test_names_that_are_not_utf8_are_refused() -> None:
    """A channel is text: replacing a byte would publish to another one."""
    assert refusal_of(os.fsdecode(b"x\xff"), "y") == "channel is not UTF-8: b'x\\xff'"
    assert refusal_of("c", "y", "--id", os.fsdecode(b"\xff")) == "id is not UTF-8: b'\\xff'"


@pytest.mark.parametrize("arguments", [("c", "-"), ("c",), ("c", "--no-eol")])
def test_standard_input_is_sent_as_it_is(arguments: tuple[str, ...]) -> None:
    """``date | gripproxy publish c``: its own newline is enough."""
    item = decode_frame(encode(item_of(*arguments, stdin=b"from stdin\n")))
    assert item.http_stream is not None and item.http_stream.content == b"from stdin\n"
    assert item.ws_message is not None and item.ws_message.content == b"from stdin\n"


def test_empty_standard_input_counts_only_if_asked_for() -> None:
    """Under cron it is /dev/null: a forgotten content must stay an error there."""
    assert refusal_of("c", stdin=b"") == "must specify content: TEXT, @FILE or -"
    assert item_of("c", "-", stdin=b"")["channel"] == "c"


def test_missing_content_is_refused_on_a_terminal() -> None:
    """Waiting for somebody to type would look like a hang."""
    assert refusal_of("c") == "must specify content: TEXT, @FILE or -"
    with pytest.raises(UsageError, match="must specify content"):
        build_item(options_of("c"), None)


@pytest.mark.parametrize("action", ["--hint", "--close"])
def test_standard_input_is_not_read_without_need(action: str) -> None:
    """It may be a pipe that never ends."""
    stdin = io.BytesIO(b"unread")
    build_item(options_of("c", action), stdin)
    assert stdin.tell() == 0


def test_hint_wins_over_close() -> None:
    """As in the reference."""
    assert item_of("c", "--close", "--hint") == item_of("c", "--hint")


def test_empty_ids_and_sender_are_none() -> None:
    """As with the reference's tool: a script's variable that is not set must not make all its items one."""
    assert item_of("c", "x", "--id", "", "--prev-id", "", "--sender", "") == item_of("c", "x")
    assert item_of("c", "x", "--sender", "", "-M", "sender=")["meta"] == {"sender": ""}


def test_options_may_stand_anywhere() -> None:
    """Between and behind the arguments; -- ends them."""
    assert item_of("c", "--no-eol", "x") == item_of("--no-eol", "c", "x") == item_of("c", "x", "--no-eol")
    assert item_of("--no-eol", "c", "--", "--x")["formats"] == {
        "http-response": {"code": 200, "body": b"--x"},
        "http-stream": {"content": b"--x"},
        "ws-message": {"content": b"--x"},
    }


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        (("--code", "1000"), "code must be an integer between 0 and 999"),
        (("--code", "-1"), "code must be an integer between 0 and 999"),
        (("--code", "abc"), "code must be an integer between 0 and 999"),
        (("-H", "nocolon"), 'header must be in the form "name: value"'),
        (("--meta", "noequals"), 'meta must be in the form "name=value"'),
        (("--patch",), "patch content must be a JSON array"),
    ],
)
def test_bad_values_are_refused(arguments: tuple[str, ...], refusal: str) -> None:
    """The reference's texts."""
    assert refusal_of("c", "{}", *arguments) == refusal


def test_missing_file_is_named(tmp_path: Path) -> None:
    """Which one, and why."""
    assert refusal_of("c", f"@{tmp_path}/none") == f"can't read file {tmp_path}/none: No such file or directory"


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        (("--spec", "foo"), "invalid spec 'foo'"),
        (("--spec", "http://192.0.2.1:1", "-u", "a:b"), "Authentication requires https"),
        (("--spec", "https://localhost:1", "-u", "a:b", "-B", "t"), "only one authentication method can be specified"),
        (("--code", "abc"), "code must be an integer"),
    ],
)
def test_failure_is_told_on_stderr_with_status_1(
    arguments: tuple[str, ...], refusal: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Scripts look at the status, people at the text; nothing says Published."""
    assert main(["c", "x", *arguments]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(f"Error: {refusal}")
    assert captured.out == ""


def test_grip_url_of_the_environment_is_the_default(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same variable that the client libraries read; --spec is stronger."""
    monkeypatch.setenv("GRIP_URL", "bad-from-environment")
    assert main(["c", "x"]) == 1
    assert "'bad-from-environment'" in capsys.readouterr().err
    assert main(["c", "x", "--spec", "bad-from-option"]) == 1
    assert "'bad-from-option'" in capsys.readouterr().err


@pytest.mark.parametrize(("argument", "status"), [("--help", 0), ("--version", 0), ("--bogus", 2), ("--timeout=0", 2)])
def test_help_version_and_unknown_options_end_the_process(argument: str, status: int) -> None:
    """The usual status of each."""
    with pytest.raises(SystemExit) as caught:
        main(["c", "x", argument])
    assert caught.value.code == status


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody should need the documentation for a first publish."""
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert "examples:" in text
    assert "--no-eol test $'event: message\\ndata: hello world\\n\\n'" in text
