"""Plays a scenario against one server and gives what its clients and its origin got."""

import contextlib
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import zmq

from tests.conformance.configurations import SETTLING_HOST, WARM_HOST
from tests.conformance.scenario import (
    Answered,
    Asked,
    Command,
    Control,
    End,
    HalfClose,
    Leave,
    OriginEnd,
    OriginLeave,
    OriginReceive,
    OriginSend,
    Pause,
    Publish,
    Push,
    Receive,
    Release,
    Scenario,
    Send,
    Settle,
    Step,
    Subscribed,
    Taken,
    Tell,
    Told,
    Unsubscribed,
    get,
)
from tests.conformance.transcript import (
    EVENTS_TYPE,
    is_of_another_session,
    methods_in,
    readable,
    readable_reply,
    readable_request,
    readable_socket,
    with_short_ids,
    without_repeats,
)
from tests.integration.deadline import wait_until
from tests.integration.origin import Answer, OriginRequest, ScriptedOrigin
from tests.integration.raw_client import RawClient
from tests.integration.readiness import unread_bytes
from tests.integration.server import Server
from tests.integration.subscription_watch import SubscriptionWatch

SUBSCRIPTION_MAX_COUNT = 20  # of one connection, with the servers' default settings
COMMAND_TIMEOUT_MS = 10_000
LAST_REQUEST = b"32:6:method,8:nonsense,2:id,4:last,}"
FAREWELL_TIMEOUT_S = 1.0
QUIET_S = 0.12  # after the last step: bytes that should not come would come within it


class Bench:
    """A running server with what the scenarios need around it; used for one scenario after another."""

    def __init__(self, server: Server, origin: ScriptedOrigin, warm_channels: Sequence[str]) -> None:
        self.server = server
        self.origin = origin
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.watch = SubscriptionWatch(self._context, server.sub_port)
        self.push = self._context.socket(zmq.PUSH)
        self.push.setsockopt(zmq.LINGER, 0)
        self.push.connect(f"tcp://127.0.0.1:{server.push_port}")
        self._held: list[RawClient] = []  # for as long as the server runs
        for start in range(0, len(warm_channels), SUBSCRIPTION_MAX_COUNT):
            group = warm_channels[start : start + SUBSCRIPTION_MAX_COUNT]
            self.hold_open("/stream?channel=" + "&channel=".join(group), WARM_HOST)

    def hold_open(self, target: str, host: str) -> None:
        """Open a stream that stays for as long as the server runs."""
        self._held.append(self._open_stream(target, host))

    def _open_stream(self, target: str, host: str) -> RawClient:
        client = RawClient(self.server.http_port)
        client.send(get(target, host=host))
        client.receive_until(b"opened]\n")
        return client

    def _with_address(self, answer: Answer) -> Answer:
        """Put the origin's address where an answer says {origin}; only headers may, for the length's sake."""
        parts = [answer] if isinstance(answer, bytes) else answer
        address = self.origin_address.encode()
        return [part.replace(b"{origin}", address) if isinstance(part, bytes) else part for part in parts]

    @property
    def origin_address(self) -> str:
        return f"127.0.0.1:{self.origin.port}"

    def settle(self) -> None:
        """Wait until the server has taken in every answer that its origin has sent so far."""
        self._open_stream("/settle", SETTLING_HOST).close()

    def ask(self, frames: Sequence[bytes], is_answered: bool) -> list[bytes]:
        """Send a request to the command socket and give its reply; or, if there is none, that to a request behind it.

        Raises:
            AssertionError: there is no reply.
        """
        dealer = self._context.socket(zmq.DEALER)
        dealer.setsockopt(zmq.LINGER, 0)
        try:
            dealer.connect(f"tcp://127.0.0.1:{self.server.command_port}")
            dealer.send_multipart(list(frames))
            if not is_answered:
                dealer.send_multipart([b"", LAST_REQUEST])
            assert dealer.poll(COMMAND_TIMEOUT_MS), f"no reply to {frames!r}"
            return dealer.recv_multipart()
        finally:
            dealer.close()

    def close(self) -> None:
        """End the publishers' sockets and what was held."""
        for client in self._held:
            client.close()
        self.watch.close()
        self.push.close()
        self._context.term()

    def play(self, scenario: Scenario) -> "Outcome":
        """Play one scenario.

        Raises:
            AssertionError: a step did not come true in time.
        """
        self.origin.play({path: self._with_address(answer) for path, answer in scenario.origin.items()})
        conversation = Conversation(self, scenario)
        try:
            for number, step in enumerate(scenario.steps, 1):
                try:
                    conversation.take(step)
                except AssertionError as error:
                    raise AssertionError(f"step {number}, {type(step).__name__}: {error}") from error
            return conversation.outcome()
        finally:
            self.origin.release()
            conversation.close()
            self.origin.drop_connections()


@dataclass(slots=True)
class Outcome:
    """What can be compared: a text per client and one per request to the origin."""

    clients: dict[str, str]
    origin: list[str]

    def text(self) -> str:
        """Spell everything, for messages and for the search of a known difference."""
        parts = [f"--- client {name}\n{text}" for name, text in sorted(self.clients.items())]
        return "\n".join([*parts, *(f"--- origin\n{text}" for text in self.origin)])


@dataclass(slots=True)
class Conversation:
    """One play: the clients that are connected and what they have sent."""

    bench: Bench
    scenario: Scenario
    clients: dict[str, RawClient] = field(default_factory=dict)
    sent: dict[str, bytes] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)
    controls: list[bytes] = field(default_factory=list)

    def take(self, step: Step) -> None:
        """Carry out one step."""
        _TAKE[type(step)](self, step)

    def send(self, step: Send) -> None:
        if step.client not in self.clients:
            self.clients[step.client] = client = RawClient(self.bench.server.http_port)
            self.ports[step.client] = client.socket.getsockname()[1]
        self.sent[step.client] = self.sent.get(step.client, b"") + step.data
        self.clients[step.client].send(step.data)

    def receive(self, step: Receive) -> None:
        client = self.clients[step.client]

        def is_there() -> bool:
            client.poll(0)
            return self._readable(step.client).count(step.marker) >= step.count

        try:
            wait_until(is_there, f"{step.marker!r} {step.count} time(s)", step.timeout_s)
        except AssertionError as error:
            state = "ended" if client.is_ended else "open"
            raise AssertionError(f"{error}; the connection is {state}, received {client.received!r}") from None

    def end(self, step: End) -> None:
        self.clients[step.client].receive_all()

    def leave(self, step: Leave) -> None:
        self.left.add(step.client)
        self.clients[step.client].close()

    def half_close(self, step: HalfClose) -> None:
        self.clients[step.client].socket.shutdown(socket.SHUT_WR)

    def taken(self, step: Taken) -> None:
        port = self.ports[step.client]
        has_left = step.client in self.left

        def is_taken() -> bool:
            unread = unread_bytes(self.bench.server.http_port, port)
            return unread is None or (unread == 0 and not has_left)

        wait_until(is_taken, "the server has read everything")

    def subscribed(self, step: Subscribed) -> None:
        self.bench.watch.wait_for(step.channel)

    def unsubscribed(self, step: Unsubscribed) -> None:
        self.bench.watch.wait_for_end(step.channel)

    def publish(self, step: Publish) -> None:
        self.bench.server.publish(*map(dict, step.items))

    def push(self, step: Push) -> None:
        self.bench.push.send_multipart([step.frame, *step.more])

    def tell(self, step: Tell) -> None:
        self.bench.watch.socket.send_multipart(list(step.frames))

    def command(self, step: Command) -> None:
        *envelope, body = self.bench.ask(step.frames, step.is_answered)
        text = "".join(f"{frame!r}\n" for frame in envelope) + readable_reply(body)
        server = self.bench.server
        ports = {"push": server.push_port, "sub": server.sub_port, "command": server.command_port}
        for name, port in ports.items():
            text = text.replace(f":{port}'", f":<{name}>'")
        self.controls.append(text.encode("latin-1"))

    def control(self, step: Control) -> None:
        with RawClient(self.bench.server.control_port) as client:
            client.send(step.data)
            self.controls.append(client.receive_all())

    def asked(self, step: Asked) -> None:
        requests = self.bench.origin.requests

        def is_asked() -> bool:
            return [request.target for request in requests].count(step.target) >= step.count

        wait_until(is_asked, f"{step.count} request(s) for {step.target}", step.timeout_s)

    def told(self, step: Told) -> None:
        requests = self.bench.origin.requests

        def is_told() -> bool:
            return sum(each.target == step.target and each.is_whole for each in requests) >= step.count

        wait_until(is_told, f"{step.count} whole request(s) for {step.target}")

    def answered(self, step: Answered) -> None:
        origin = self.bench.origin
        wait_until(lambda: origin.answered_count >= step.count, f"{step.count} answer(s) of the origin")

    def _listening(self, target: str | None) -> OriginRequest:
        """Wait until the origin listens on the connection of its newest request (for a target), and give that."""

        def look() -> OriginRequest | None:
            found = [each for each in self.bench.origin.requests if target in (None, each.target)]
            return found[-1] if found and found[-1].connection is not None else None

        return wait_until(look, f"a connection on which the origin listens{f' for {target}' if target else ''}")

    def origin_send(self, step: OriginSend) -> None:
        connection = self._listening(step.target).connection
        assert connection is not None
        with contextlib.suppress(OSError):  # the proxy may have ended it already
            connection.sendall(step.data)

    def origin_receive(self, step: OriginReceive) -> None:
        request = self._listening(step.target)
        try:
            wait_until(
                lambda: readable_socket(request).count(step.marker) >= step.count, f"{step.marker!r} at the origin"
            )
        except AssertionError as error:
            raise AssertionError(f"{error}; it has received {request.body!r}") from None

    def origin_leave(self, step: OriginLeave) -> None:
        connection = self._listening(step.target).connection
        assert connection is not None
        with contextlib.suppress(OSError):  # the proxy may have ended it already
            connection.shutdown(socket.SHUT_WR)
        self.origin_end(OriginEnd(step.target))

    def origin_end(self, step: OriginEnd) -> None:
        request = self._listening(step.target)
        wait_until(lambda: request.is_ended, "the end of the origin's connection")

    def settle(self, step: Settle) -> None:
        del step
        self.bench.settle()

    def release(self, step: Release) -> None:
        del step
        self.bench.origin.release()

    def pause(self, step: Pause) -> None:
        time.sleep(step.duration_s)

    def _readable(self, name: str) -> bytes:
        methods = methods_in(self.sent[name])
        return readable(self.clients[name].received, methods, self.scenario.is_framing_free)

    def outcome(self) -> Outcome:
        """Give what was received, with the state in which the server has left each connection."""
        texts = {}
        for name, client in self.clients.items():
            if name not in self.left:
                client.receive_for(QUIET_S)
            state = "left" if name in self.left else "ended" if client.is_ended else "open"
            text = self._readable(name).decode("latin-1")
            texts[name] = (without_repeats(text) if self.scenario.is_count_free else text) + f"<{state}>"
        texts.update({f"control {number}": data.decode("latin-1") for number, data in enumerate(self.controls, 1)})
        requests = self._requests() if self.scenario.is_origin_compared else []
        return Outcome(
            {name: text.replace(self.bench.origin_address, "{origin}") for name, text in texts.items()},
            [text.replace(self.bench.origin_address, "{origin}") for text in requests],
        )

    def _requests(self) -> list[str]:
        texts: list[str] = []
        requests = list(self.bench.origin.requests)
        for request in requests:
            if is_of_another_session(request, requests):
                continue
            text = readable_request(request)
            if not (self.scenario.is_repeat_free and text in texts):
                texts.append(text)
        return with_short_ids(sorted(texts) if self.scenario.is_origin_order_free else texts)

    def close(self) -> None:
        """End the clients' connections, and wait until their origin has heard of it: none of it is the next play's."""
        is_over = all(client.is_ended for client in self.clients.values())
        for client in self.clients.values():
            with contextlib.suppress(OSError):
                client.close()
        if is_over:
            return
        with contextlib.suppress(AssertionError):  # a session that is detached has nothing to say
            wait_until(self._is_farewell_said, "the end of every session", FAREWELL_TIMEOUT_S)

    def _is_farewell_said(self) -> bool:
        """Say whether each session over HTTP that was opened is closed."""

        def is_ended(talk: Sequence[bytes]) -> bool:
            return any(body.startswith((b"CLOSE", b"DISCONNECT")) or b"\nCLOSE" in body for body in talk)

        talks: dict[str | None, list[bytes]] = {}
        for request in list(self.bench.origin.requests):
            if request.is_whole and ("Content-Type", EVENTS_TYPE) in request.headers:
                talks.setdefault(request.header("Connection-Id"), []).append(request.body)
        return all(map(is_ended, (talk for talk in talks.values() if b"OPEN\r\n" in talk)))


_TAKE: dict[type[Step], Callable[..., None]] = {
    Send: Conversation.send,
    Receive: Conversation.receive,
    End: Conversation.end,
    Leave: Conversation.leave,
    HalfClose: Conversation.half_close,
    Taken: Conversation.taken,
    Subscribed: Conversation.subscribed,
    Unsubscribed: Conversation.unsubscribed,
    Publish: Conversation.publish,
    Push: Conversation.push,
    Tell: Conversation.tell,
    Command: Conversation.command,
    Control: Conversation.control,
    Asked: Conversation.asked,
    Told: Conversation.told,
    Answered: Conversation.answered,
    OriginSend: Conversation.origin_send,
    OriginReceive: Conversation.origin_receive,
    OriginLeave: Conversation.origin_leave,
    OriginEnd: Conversation.origin_end,
    Settle: Conversation.settle,
    Release: Conversation.release,
    Pause: Conversation.pause,
}
