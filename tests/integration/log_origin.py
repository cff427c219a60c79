"""An origin with a log of numbered items that it also publishes: polls get what is new or wait, streams follow it.

Run as ``python -m tests.integration.log_origin PORT PUSH_PORT COUNT``. It publishes COUNT items when a line comes on
standard input, in its own order, but over two sockets, with some sent late and some never. Then it prints ``done``.
"""

import asyncio
import random
import re
import sys
from urllib.parse import parse_qs, urlsplit

import orjson
import zmq

CHANNEL = "log"
BATCH_COUNT = 20  # items at a time
BATCH_S = 0.005
PART_MAX_COUNT = 200  # items in one answer
LATE_CHANCE = 0.01
LOST_CHANCE = 0.0005


class LogOrigin:
    """Item number N is the line ``N``; `published_count` is the number of the last one."""

    def __init__(self, push_port: int) -> None:
        self.published_count = 0
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        self._sockets = [context.socket(zmq.PUSH) for _ in range(2)]
        for socket in self._sockets:
            socket.setsockopt(zmq.SNDHWM, 0)
            socket.connect(f"tcp://127.0.0.1:{push_port}")
        self._random = random.Random(4)

    async def publish(self, count: int) -> None:
        """Put items into the log and publish them; the last one of all surely and in time."""
        loop = asyncio.get_running_loop()
        while self.published_count < count:
            for _ in range(min(BATCH_COUNT, count - self.published_count)):
                self.published_count += 1
                number, chance = self.published_count, self._random.random()
                if number == count or chance > LATE_CHANCE + LOST_CHANCE:
                    self._send(number)
                elif chance > LOST_CHANCE:
                    loop.call_later(chance, self._send, number)
            await asyncio.sleep(BATCH_S)

    def _send(self, number: int) -> None:
        text = f"{number}\n"
        formats = {"http-response": {"body": text}, "http-stream": {"content": text}}
        item = {"channel": CHANNEL, "id": str(number), "prev-id": str(number - 1), "formats": formats}
        self._random.choice(self._sockets).send(b"J" + orjson.dumps(item))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                writer.write(self._answer(head.decode()))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _answer(self, head: str) -> bytes:
        url = urlsplit(head.split(" ", 2)[1])
        known = int(parse_qs(url.query).get("last", ["0"])[0])
        told = re.search(rf"\r\nGrip-Last: {CHANNEL}; last-id=(\d+)\r\n", head)
        if told is not None:
            known = int(told[1])
        last = min(self.published_count, known + PART_MAX_COUNT)
        body = "".join(f"{number}\n" for number in range(known + 1, last + 1))
        headers = ["Content-Type: text/plain", f"Content-Length: {len(body)}"]
        channel = f"Grip-Channel: {CHANNEL}; prev-id={last}"
        if url.path == "/poll":
            headers += [] if body else ["Grip-Hold: response", "Grip-Timeout: 20", channel]
        elif last < self.published_count:
            headers.append(f"Grip-Link: </more?last={last}>; rel=next")
        else:
            headers += ["Grip-Hold: stream", "Grip-Link: </more>; rel=next; timeout=5", channel]
        return "\r\n".join(["HTTP/1.1 200 OK", *headers, "", body]).encode()


async def run(port: int, push_port: int, count: int) -> None:
    """Serve until standard input ends."""
    origin = LogOrigin(push_port)
    await asyncio.start_server(origin.serve, "127.0.0.1", port)
    loop = asyncio.get_running_loop()
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    await origin.publish(count)
    print("done", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(run(*map(int, sys.argv[1:])))
