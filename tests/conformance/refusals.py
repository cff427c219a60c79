"""How the scenarios of refused requests and refused instructs are made."""

from tests.conformance.scenario import Difference, End, Receive, Scenario, Send, get
from tests.integration.origin import answer

HELLO = answer("200 OK", "Content-Type: text/plain", body=b"hello\n")
INSTRUCT_TYPE = "Content-Type: application/grip-instruct"


def sized(text: str) -> str:
    """Spell the end of an error answer: length, blank line, text."""
    return f"Content-Length: {len(text) + 1}\r\n\r\n{text}\n"


def bad_instruct(
    name: str, why: str, *headers: str, says: str, value: str | None = None, body: bytes = b"x\n"
) -> Scenario:
    """Make the scenario of an answer whose instruct is refused, on a route with debug.

    Args:
        says: what the reference says.
        value: what gripproxy shows besides.
    """
    reference = f"Failed to parse accept instructions: {says}"
    ours = sized(f"{reference} (value: {value})")
    return Scenario(
        name=f"bad-instruct-{name}",
        why=why,
        origin={"/bad": answer("200 OK", *headers, body=body)},
        steps=[Send(get("/bad", host="debug.test")), Receive(says.encode())],
        difference=Difference(id="refusal-shows-value", reference=sized(reference), ours=ours) if value else None,
    )


def bad_request(name: str, why: str, data: bytes, says: str, status: str = "400 Bad Request") -> Scenario:
    """Make the scenario of a request that cannot be read: the reference ends the connection, gripproxy says why."""
    ours = f"--- client a\nHTTP/1.0 {status}\r\nContent-Type: text/plain\r\n{sized(says)}<ended>"
    return Scenario(
        name=f"bad-request-{name}",
        why=why,
        origin={"/hello": HELLO},
        steps=[Send(data), End()],
        difference=Difference(id="bad-request-answered", reference="--- client a\n<ended>", ours=ours),
    )
