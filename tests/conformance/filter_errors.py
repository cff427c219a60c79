"""Scenarios of filters that fail on an item or on a body."""

from collections.abc import Sequence

from tests.conformance.filters_ import polled, response, streamed
from tests.conformance.holds import TEXT
from tests.conformance.refusals import sized
from tests.conformance.scenario import (
    Difference,
    Publish,
    Receive,
    Scenario,
    Send,
    get,
    item,
)
from tests.integration.origin import answer

REFUSED = "Failed to parse accept instructions: filter error: "
AT_LINE_END = "Unknown directive '\n' at position 4"


def failed(
    name: str,
    why: str,
    channel: str,
    content: str,
    says: str,
    headers: Sequence[str] = (),
    body: bytes = b"[open]\n",
) -> Sequence[Scenario]:
    """Make the scenarios of an item whose filter fails: for a stream, and for a stream with debug.

    Args:
        says: the error, without the filter's name, which only the reference says.
    """
    base, _, parameters = channel.partition("; ")
    filter_name = parameters.rpartition("=")[2]
    shown = body.decode()
    opened = Receive(body or b"\r\n\r\n")
    return [
        streamed(
            f"error-{name}",
            why,
            f"{base}; {parameters}",
            opened,
            Publish([item(base, content=content)]),
            Publish([item(base, content="hello\n")]),
            Send(get("/hello")),
            Receive(b"hello\n"),
            headers=headers,
            body=body,
            difference=Difference(
                id="filter-error-skips-the-item",
                reference=f"chunked\r\n\r\n{shown}<last chunk>HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                "Content-Length: 6\r\n\r\nhello\n<open>",
                ours=f"chunked\r\n\r\n{shown}hello\n<open>",
            ),
            is_origin_compared=False,
        ),
        streamed(
            f"error-{name}-debug",
            why,
            f"{base}d; {parameters}",
            opened,
            Publish([item(f"{base}d", content=content)]),
            Receive(says.encode()),
            headers=headers,
            body=body,
            host="debug.test",
            difference=Difference(
                id="filter-error-without-its-name",
                reference=f"filter error: {filter_name}: {says}",
                ours=f"filter error: {says}",
            ),
        ),
    ]


SCENARIOS = [
    streamed(
        "build-id-of-the-first-body-error",
        "it knows no ids yet",
        "f14; filter=build-id",
        Receive(b"position 4\n"),
        headers=["Grip-Set-Meta: id_format=x"],
        body=b"id=%I\n",
        host="debug.test",
        is_framing_free=True,
        difference=Difference(
            id="filter-error-without-its-name", reference="error: build-id: No ID", ours="error: No ID"
        ),
    ),
    Scenario(
        name="filter-build-id-without-hold-error",
        why="and refused if that fails",
        origin={
            "/x": answer(
                "200 OK", TEXT, "Grip-Channel: f16; filter=build-id", "Grip-Set-Meta: id_format=x", body=b"100%\n"
            )
        },
        steps=[Send(get("/x", host="debug.test")), Receive(b"\r\n\r\n")],
        difference=Difference(
            id="filter-error-without-its-name",
            reference=sized(f"{REFUSED}build-id: {AT_LINE_END}"),
            ours=sized(f"{REFUSED}{AT_LINE_END}".replace("\n", "\\x0a")),
        ),
    ),
    *failed(
        "var-unknown",
        "a name without a value",
        "f20; filter=var-subst",
        "a %(nope)s\n",
        "No such variable 'nope' at position 9",
    ),
    *failed(
        "var-directive",
        "a letter without a meaning",
        "f21; filter=var-subst",
        "%(v)x\n",
        "Unknown directive 'x' at position 4",
        headers=["Grip-Set-Meta: v=1"],
    ),
    *failed(
        "var-argument",
        "a letter without its name",
        "f22; filter=var-subst",
        "%s\n",
        "Directive 's' requires argument at position 1",
    ),
    *failed(
        "var-end",
        "a percent sign at the end",
        "f23; filter=var-subst",
        "100%",
        "Expected directive after '%' at position 3",
    ),
    *failed(
        "var-open",
        "a name without an end",
        "f24; filter=var-subst",
        "%(abc",
        "Unterminated field starting at position 1",
    ),
    # Without debug nothing at all comes of these two: every item fails.
    failed("id-format", "no format for ids", "f25; filter=build-id", "%I\n", "no sub meta 'id_format'", body=b"")[1],
    failed(
        "id-encoding",
        "an unknown encoding of ids",
        "f26; filter=build-id",
        "%I\n",
        "unsupported encoding: rot13",
        body=b"",
        headers=["Grip-Set-Meta: id_format=x, id_encoding=rot13"],
    )[1],
    streamed(
        "error-id-channel-debug",
        "a format with a channel that has no id",
        "f27; filter=build-id",
        Receive(b"[open]\n"),
        Publish([item("f27", content="%I\n")]),
        Receive(b"position 7\n"),
        headers=['Grip-Set-Meta: id_format="%(nope)s"'],
        host="debug.test",
        difference=Difference(
            id="filter-error-without-its-name",
            reference="error: build-id: failed to render ID: No such",
            ours="error: failed to render ID: No such",
        ),
    ),
    *failed(
        "id-directive",
        "a percent sign that means nothing",
        "f28; filter=build-id",
        "100% sure\n",
        "Unknown directive ' ' at position 4",
        headers=["Grip-Set-Meta: id_format=x"],
    ),
    polled(
        "error-debug",
        "with debug the client is told why",
        "g5; filter=var-subst",
        Publish([response("g5", "%(nope)s\n")]),
        Receive(b"position 7\n"),
        host="debug.test",
        difference=Difference(
            id="filter-error-without-its-name",
            reference=sized("filter error: var-subst: No such variable 'nope' at position 7"),
            ours=sized("filter error: No such variable 'nope' at position 7"),
        ),
    ),
    polled(
        "error",
        "without debug the poll waits for the next item",
        "g6; filter=var-subst",
        Publish([response("g6", "%(nope)s\n")]),
        Publish([response("g6", "next\n")]),
        Receive(b"n"),
        difference=Difference(
            id="filter-error-skips-the-item",
            reference="502 Bad Gateway\r\nContent-Type: text/plain\r\n" + sized("Error while proxying to origin."),
            ours="200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nnext\n",
        ),
    ),
]
