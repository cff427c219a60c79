"""A control port for the commands that look at one: answers what a test says, in a thread of its own."""

import http.server
import json
import threading
from types import TracebackType

from gripproxy.bus.live_figures import Look, Looks, describe
from gripproxy.protocol.telemetry import Traffic
from gripproxy.scoreboard import Field, ProcessState, Scoreboard


class ControlSite:
    """Listens on `port` while it is entered. `answers` are status and body by path, without the query."""

    def __init__(self, answers: dict[str, tuple[int, bytes]], port: int = 0) -> None:
        self.answers = answers
        self.requests: list[tuple[str, dict[str, str]]] = []  # target, and headers by lower-case name
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                status, body = site.answers.get(self.path.partition("?")[0], (404, b"Not Found\n"))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "ControlSite":
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def stats_document(channel: str = "news", requests_per_s: int = 30) -> dict[str, object]:
    """Make what ``/stats`` answers, by the same code: a second in the life of two workers."""
    board, looks = Scoreboard(2), Looks()
    for index in range(board.rows_count):
        board.row(index)[Field.STATE] = ProcessState.READY
        board.row(index)[Field.PID] = 100 + index
        board.row(index)[Field.HEARTBEAT_MS] = 10_900
    route = [0] * len(Traffic)
    looks.add(look_at(board, 10.0, route))
    board.row(1)[Field.REQUESTS] += requests_per_s
    board.row(1)[Field.HELD_STREAMS] = 1_234
    route[Traffic.CONNECTIONS] = 7
    return {
        "version": "1.2.3",
        "at": 1_000_000_000.0,
        "supervisor_pid": 99,
        "uptime_s": 93_784.0,
        **describe(looks, look_at(board, 11.0, route)),
        "channels": [busy_channel(channel)],
    }


def busy_channel(channel: str) -> dict[str, object]:
    return {"channel": channel, "items_per_s": 12.5, "listeners": 4, "deliveries_per_s": 50.0}


def look_at(board: Scoreboard, at: float, route: list[int]) -> Look:
    rows = [board.row(index).tolist() for index in range(board.rows_count)]
    return Look(at, rows, [at / 100] * len(rows), {"shop": list(route)})


def stats_answer(channel: str = "news") -> tuple[int, bytes]:
    return 200, json.dumps(stats_document(channel)).encode()
