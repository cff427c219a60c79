"""Carries out commands, whether they came by ZeroMQ or by HTTP."""

import asyncio
from collections.abc import Callable

from gripproxy.bus.command_request import (
    BAD_REQUEST,
    ITEM_NOT_FOUND,
    PROXY_REQUEST_FAILED,
    CommandResult,
    decide_command,
)
from gripproxy.bus.conn_check import ConnCheck
from gripproxy.bus.control_answer import JSON_TYPE, ControlAnswer
from gripproxy.bus.control_request import ControlRequest
from gripproxy.bus.control_routes import ControlRoutes
from gripproxy.bus.item_intake import ItemIntake
from gripproxy.bus.json_bytes import encode_json
from gripproxy.protocol.json_text import decode_json
from gripproxy.protocol.publish_value import JSON, TNETSTRING, Encoding
from gripproxy.scoreboard import Field
from gripproxy.settings import Settings

_STATUS = {None: 200, BAD_REQUEST: 400, ITEM_NOT_FOUND: 404, PROXY_REQUEST_FAILED: 503}
# What to say to who used a path that the reference does not have.
_WANTED = {
    "refresh": 'The body must be {"channel":NAME} or {"cid":ID}.',
    "conncheck": 'The body must be {"ids":[ID,...]}.',
}

Reply = Callable[[CommandResult], None]


class Commands:
    """`recover` and `refresh_channel` do what these commands say."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        settings: Settings,
        intake: ItemIntake,
        recover: Callable[[], None],
        refresh_channel: Callable[[str], None],
        conn_check: ConnCheck,
    ) -> None:
        self._loop = loop
        self.settings = settings
        self._intake = intake
        self._recover = recover
        self._refresh_channel = refresh_channel
        self._conn_check = conn_check

    def run(self, method: str, args: dict[str, object], reply: Reply, encoding: Encoding = TNETSTRING) -> None:
        """Do what is asked for, and reply, at once or later."""
        decision = decide_command(method, args, self.settings, encoding)
        if decision.is_refused_publish:
            self._intake.count_refused(Field.ITEMS_COMMAND)
        if decision.items:
            self._intake.accept(decision.items, Field.ITEMS_COMMAND)
        if decision.is_recover:
            self._recover()
        if decision.refresh_channel is not None:
            self._refresh_channel(decision.refresh_channel)
        if decision.refresh_id is not None:
            self._refresh(decision.refresh_id, reply)
        elif decision.conn_ids is not None:
            self._check(decision.conn_ids, reply)
        else:
            reply(decision.result)

    def _check(self, conn_ids: list[str], reply: Reply) -> None:
        def on_answer(live: list[str] | None) -> None:
            reply(CommandResult(live, PROXY_REQUEST_FAILED if live is None else None))

        self._conn_check.ask(conn_ids, on_answer)

    def _refresh(self, conn_id: str, reply: Reply) -> None:
        def on_answer(live: list[str] | None) -> None:
            condition = PROXY_REQUEST_FAILED if live is None else None if live else ITEM_NOT_FOUND
            reply(CommandResult(condition=condition))

        self._conn_check.ask([conn_id], on_answer, is_refresh=True)

    def register(self, routes: ControlRoutes) -> None:
        """Answer these methods over HTTP too. Publishing and recovering have the reference's own paths there."""
        routes.add(b"/get-zmq-uris", self._respond)
        routes.add(b"/refresh", self._respond, (b"POST",))
        routes.add(b"/conncheck", self._respond, (b"POST",))

    def _respond(self, request: ControlRequest) -> "asyncio.Future[ControlAnswer]":
        answer: asyncio.Future[ControlAnswer] = self._loop.create_future()
        method = request.path[1:].decode()

        def reply(result: CommandResult) -> None:
            if not answer.done():  # as it is when the client has left
                answer.set_result(_encode(method, result))

        args: object = {}
        if request.method == b"POST":
            try:
                args = decode_json(request.body)
            except ValueError:
                args = None
        if isinstance(args, dict):
            self.run(method, args, reply, JSON)
        else:
            reply(CommandResult(condition=BAD_REQUEST))
        return answer


def _encode(method: str, result: CommandResult) -> ControlAnswer:
    """Encode a reply in JSON, as the command socket's maps are; but what is bad about a request is said."""
    body: dict[str, object] = {"success": result.condition is None}
    if result.condition is not None:
        body["condition"] = result.condition
    if result.condition is None:
        body["value"] = result.value
    elif result.condition == BAD_REQUEST:
        body["value"] = _WANTED[method]
    return ControlAnswer(_STATUS[result.condition], encode_json(body) + b"\n", JSON_TYPE)
