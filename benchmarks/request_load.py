"""Plain requests at full speed from another process: wrk when it is installed, a small epoll client when not."""

import re
import select
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass

from benchmarks.errors import BenchmarkError
from benchmarks.machine import REPOSITORY

_WRK_TOTAL = re.compile(r"(\d+) requests in ([\d.]+)(ms|s|m)")
_WRK_ERRORS = re.compile(r"(Non-2xx.*|Socket errors.*)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0}


@dataclass(slots=True)
class LoadResult:
    """Requests answered with status 200 in `seconds`."""

    requests: int
    seconds: float


def run_load(port: int, path: str, connections: int, seconds: float) -> LoadResult:
    """Keep `connections` kept-alive connections busy with GETs of `path`.

    Raises:
        BenchmarkError: a response had another status, or a connection failed.
    """
    if shutil.which("wrk"):
        command = [
            "wrk",
            "-t",
            "1",
            "-c",
            str(connections),
            "-d",
            f"{max(1, round(seconds))}s",
            f"http://127.0.0.1:{port}{path}",
        ]
    else:
        command = [sys.executable, "-m", "benchmarks.request_load", str(port), path, str(connections), str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=False, cwd=REPOSITORY)
    if done.returncode:
        raise BenchmarkError(f"{command[0]} failed: {done.stderr.strip()[-300:]}")
    return decode_load_output(done.stdout)


def decode_load_output(text: str) -> LoadResult:
    """Read wrk's report; the client of this module prints the same line.

    Raises:
        BenchmarkError: it reports errors, or no total.
    """
    errors, total = _WRK_ERRORS.search(text), _WRK_TOTAL.search(text)
    if errors:
        raise BenchmarkError(f"requests failed: {errors[1].strip()}")
    if total is None:
        raise BenchmarkError(f"no total in the client's report: {text.strip()[-300:]!r}")
    return LoadResult(int(total[1]), float(total[2]) * _UNIT_S[total[3]])


def send_requests(port: int, path: str, connections: int, seconds: float) -> LoadResult:
    """Do what wrk does, for responses that have a Content-Length and fit in one read or a few."""
    request = f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
    epoll = select.epoll()
    clients = {}
    for _ in range(connections):
        client = socket.create_connection(("127.0.0.1", port), timeout=10)
        clients[client.fileno()] = client
        epoll.register(client, select.EPOLLIN)
        client.sendall(request)
    partial: dict[int, bytes] = {}
    requests, started = 0, time.monotonic()
    while (now := time.monotonic()) < started + seconds:
        for fd, _ in epoll.poll(1.0):
            data = partial.pop(fd, b"") + clients[fd].recv(65536)
            if not _is_whole(data):
                partial[fd] = data
                continue
            requests += 1
            clients[fd].sendall(request)
    return LoadResult(requests, now - started)


def _is_whole(data: bytes) -> bool:
    head, end, body = data.partition(b"\r\n\r\n")
    if not data.startswith(b"HTTP/1.1 200 "[: len(data)]) or not data:
        raise BenchmarkError(f"Non-2xx or cut-off response: {data[:80]!r}")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return bool(end) and length is not None and len(body) >= int(length[1])


if __name__ == "__main__":
    result = send_requests(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
    print(f"{result.requests} requests in {result.seconds:.3f}s")
