"""A publisher on each input, with numbered items to its own channel."""

import asyncio
import contextlib
import json

import zmq
import zmq.asyncio

from benchmarks.chaos.crowd import INPUTS
from benchmarks.chaos.service import Ports
from gripproxy.protocol.tnetstring import encode

PAUSE_S = 0.05
ANSWER_MAX_S = 5.0


def new_item(name: str, number: int) -> dict[str, object]:
    """Make an item for all kinds of clients."""
    text = f"{name} {number}\n"
    formats = {"http-stream": {"content": text}, "http-response": {"body": text}, "ws-message": {"content": text}}
    return {"channel": name, **formats}


class Publishers:
    """All four. `sent` are the last numbers that are out of their hands; `failed_count` of items nobody took."""

    def __init__(self, ports: Ports) -> None:
        self.sent = dict.fromkeys(INPUTS, -1)
        self.failed_count = 0
        self._ports = ports
        self._zmq = zmq.asyncio.Context()
        self._tasks = [
            asyncio.ensure_future(task) for task in (self._push(), self._sub(), self._http(), self._command())
        ]

    async def close(self) -> None:
        """Publish no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._zmq.destroy(0)

    def check(self) -> None:
        """Raise what a publisher died of."""
        for task in self._tasks:
            if task.done():
                task.result()

    def _socket(self, kind: int, port: int) -> zmq.asyncio.Socket:
        socket = self._zmq.socket(kind)
        socket.setsockopt(zmq.RECONNECT_IVL, 50)
        socket.connect(f"tcp://127.0.0.1:{port}")
        return socket

    async def _push(self) -> None:
        push = self._socket(zmq.PUSH, self._ports.push)
        while True:
            number = self.sent["push"] + 1
            await push.send(b"J" + json.dumps(new_item("push", number)).encode())
            self.sent["push"] = number
            await asyncio.sleep(PAUSE_S)

    async def _sub(self) -> None:
        pub = self._socket(zmq.PUB, self._ports.sub)
        while True:
            number = self.sent["sub"] + 1
            await pub.send_multipart([b"sub", b"J" + json.dumps(new_item("sub", number)).encode()])
            self.sent["sub"] = number
            await asyncio.sleep(PAUSE_S)

    async def _http(self) -> None:
        while True:
            number = self.sent["http"] + 1
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                async with asyncio.timeout(ANSWER_MAX_S):  # `wait_for` of Python 3.11 may lose a cancellation
                    self.failed_count -= await self._post(new_item("http", number))
            self.failed_count += 1
            self.sent["http"] = number
            await asyncio.sleep(PAUSE_S)

    async def _post(self, item: dict[str, object]) -> bool:
        body = json.dumps({"items": [item]}).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", self._ports.control)
        try:
            writer.write(b"POST /publish/ HTTP/1.1\r\nHost: d.test\r\nConnection: close\r\n")
            writer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
            return b" 200 " in await reader.readuntil(b"\r\n")
        finally:
            writer.close()

    async def _command(self) -> None:
        while True:
            number = self.sent["command"] + 1
            request = {"id": str(number), "method": "publish", "args": {"items": [new_item("command", number)]}}
            command = self._socket(zmq.REQ, self._ports.command)
            try:
                async with asyncio.timeout(ANSWER_MAX_S):
                    await command.send(encode(request))
                    await command.recv()
            except TimeoutError:
                self.failed_count += 1
            finally:
                command.close(0)
            self.sent["command"] = number
            await asyncio.sleep(PAUSE_S)
