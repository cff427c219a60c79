"""Paths of the control port: whose handler answers, and what never reaches one."""

import pytest

from gripproxy.bus.control_answer import ControlAnswer
from gripproxy.bus.control_request import ControlRequest, ControlRequestError
from gripproxy.bus.control_routes import ControlRoutes, Response


def said(text: bytes) -> ControlAnswer:
    return ControlAnswer(200, text)


def routes() -> ControlRoutes:
    made = ControlRoutes(lambda _: said(b"reference"))
    made.add(b"/stats", lambda _: said(b"stats"))
    made.add(b"/publish", lambda _: said(b"waits"), (b"POST",), parameter="wait")
    return made


def ask(method: bytes, target: bytes, table: ControlRoutes | None = None) -> Response:
    return (table or routes()).respond(ControlRequest(method, target, None, b""))


@pytest.mark.parametrize(
    ("method", "target", "text"),
    [
        (b"GET", b"/stats", b"stats"),
        (b"HEAD", b"/stats/", b"stats"),
        (b"GET", b"/stats?x=1", b"stats"),
        (b"GET", b"/stats//", b"reference"),
        (b"GET", b"/", b"reference"),
        (b"POST", b"/publish", b"reference"),
        (b"POST", b"/publish/?x=1", b"reference"),
        (b"POST", b"/publish?x=1&wait=delivered", b"waits"),
        (b"POST", b"/publish/?wait", b"waits"),
    ],
)
def test_path_and_parameter_choose_the_handler(method: bytes, target: bytes, text: bytes) -> None:
    """What nobody registered is the reference's business, its refusals included."""
    assert ask(method, target) == said(text)


def test_other_methods_are_told_which_there_are() -> None:
    """As the reference does for its own paths."""
    assert ask(b"POST", b"/stats") == ControlAnswer(
        405, b"Method not allowed: POST.\n", extra=[(b"Allow", b"GET, HEAD")]
    )


def test_nothing_that_the_guard_refuses_is_served() -> None:
    """Neither the reference's paths nor ours; but it is told which answers are for everybody."""
    asked = []

    def guard(request: ControlRequest, is_public: bool) -> ControlAnswer | None:
        asked.append((request.target, is_public))
        return None if is_public else ControlAnswer(401, b"no")

    table = ControlRoutes(lambda _: said(b"reference"), guard)
    table.add(b"/stats", lambda _: said(b"stats"))
    table.add(b"/healthz", lambda _: said(b"fine"), is_public=True)
    assert ask(b"POST", b"/publish", table) == ask(b"GET", b"/stats", table) == ControlAnswer(401, b"no")
    assert ask(b"GET", b"/healthz", table) == said(b"fine")
    assert asked == [(b"/publish", False), (b"/stats", False), (b"/healthz", True)]


def test_handler_may_refuse_what_the_query_says() -> None:
    """A handler that decodes parameters needs no answer of its own for bad ones."""

    def handler(_: ControlRequest) -> ControlAnswer:
        raise ControlRequestError("timeout is not a number")

    table = routes()
    table.add(b"/events", handler)
    assert ask(b"GET", b"/events?timeout=x", table) == ControlAnswer(400, b"timeout is not a number\n")
