"""gripproxy's own metrics, as Prometheus gets them from a running server."""

import http.client
import json
import re
import subprocess
import urllib.parse
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import StartServer
from tests.dashboard import expressions
from tests.installed import require
from tests.integration.deadline import wait_until
from tests.integration.origin import ScriptedOrigin, answer
from tests.integration.ports import free_ports
from tests.integration.process import Process
from tests.integration.raw_client import RawClient
from tests.integration.server import Server, ServerPlan

pytestmark = pytest.mark.gripproxy_only

ROOT = Path(__file__).resolve().parents[2]
STREAM = answer("200 OK", "Content-Type: text/plain", "Grip-Hold: stream", "Grip-Channel: news", body=b"[open]\n")
POLL = answer("200 OK", "Content-Type: text/plain", "Grip-Hold: response", "Grip-Channel: news", body=b"nothing\n")
PLAIN = answer("200 OK", "Content-Type: text/plain", body=b"plain\n")
GONE = answer("404 Not Found", "Content-Type: text/plain", body=b"gone\n")
REFERENCE = {"request_received", "connection_minute", "message_received", "message_sent"}


class MeteredServer:
    """A server with a metrics page, and an origin that holds on `news`."""

    def __init__(self, start_server: StartServer) -> None:
        self.origin = ScriptedOrigin()
        self.origin.play({"/stream": STREAM, "/poll": POLL, "/plain": PLAIN, "/gone": GONE})
        self.origin.start()
        (self.port,) = free_ports(1)
        sections = {"handler": {"prometheus_port": f"127.0.0.1:{self.port}"}}
        routes = [f"*,id=site 127.0.0.1:{self.origin.port}"]
        self.server: Server = start_server(ServerPlan(routes=routes, sections=sections))

    def text(self) -> str:
        """Read the page."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        return text

    def total(self, name: str, labels: str = "") -> float:
        """Add up the samples of a metric that have a label."""
        return total(self.text(), name, labels)

    def open(self, target: str, marker: bytes) -> RawClient:
        client = RawClient(self.server.http_port)
        client.get(target)
        client.receive_until(marker)
        return client


def find(page: str, name: str, labels: str = "") -> float | None:
    """Add up the samples of a metric; None if there is none yet, as of a route before its first request."""
    lines = [line for line in page.splitlines() if line.startswith(f"gripproxy_{name}{{") and labels in line]
    return sum(float(line.rpartition(" ")[2]) for line in lines) if lines else None


def total(page: str, name: str, labels: str = "") -> float:
    found = find(page, name, labels)
    assert found is not None, f"no {name}{{{labels}}} in:\n{page}"
    return found


@pytest.fixture
def metered(start_server: StartServer) -> Iterator[MeteredServer]:
    made = MeteredServer(start_server)
    yield made
    made.origin.stop()


def balance(page: str) -> dict[str, float]:
    """Say by how much each of the books is out."""
    ways = ("deliveries_total", "deliveries_filtered_total", "deliveries_refetched_total", "deliveries_dropped_total")
    fates = ("items_refused_total", "items_duplicate_total", "items_unordered_total", "items_parked")
    sent = total(page, "items_sent_total")
    return {
        "items": total(page, "items_received_total") - sum(total(page, name) for name in fates) - sent,
        "worker 0": total(page, "bus_items_received_total", 'process="worker-0"') - sent,
        "worker 1": total(page, "bus_items_received_total", 'process="worker-1"') - sent,
        "receptions": total(page, "receptions_total")
        - sum(total(page, name) for name in ways)
        - total(page, "deliveries_pending"),
    }


def test_what_happened_is_on_the_page(metered: MeteredServer) -> None:
    """Clients by what they do, responses by status, items by input, and books that balance."""
    clients = [metered.open("/stream", b"[open]\n") for _ in range(3)]
    poll = RawClient(metered.server.http_port)
    poll.get("/poll")
    clients.append(metered.open("/gone", b"gone\n"))  # stays, and does nothing
    states = {"stream": 3, "response": 1, "idle": 1, "active": 0}

    def found_states() -> dict[str, float]:
        return {state: metered.total("connections", f'state="{state}"') for state in states}

    wait_until(lambda: found_states() == states, f"connections are {states}")
    both = {"http-stream": {"content": "<1>"}, "http-response": {"body": "<1>"}}
    metered.server.publish({"channel": "news", "id": "1", **both}, {"channel": "news", "id": "1", **both})
    for client in (*clients[:3], poll):
        client.receive_until(b"<1>")
    numbers = {
        ("requests_total", ""): 5,
        ("responses_total", 'status="2xx"'): 4,
        ("responses_total", 'status="4xx"'): 1,
        ("holds_total", 'mode="stream"'): 3,
        ("holds_total", 'mode="response"'): 1,
        ("items_received_total", 'input="http"'): 2,
        ("items_received_total", 'input="pull"'): 0,
        ("items_duplicate_total", ""): 1,
        ("items_sent_total", ""): 1,
        ("receptions_total", ""): 4,
        ("deliveries_total", ""): 4,
        ("deliveries_dropped_total", ""): 0,
        ("origin_response_seconds_count", ""): 5,
        ("route_requests_total", 'route="site"'): 5,
        ("route_receptions_total", 'route="site",mode="stream"'): 3,
        ("route_receptions_total", 'route="site",mode="response"'): 1,
    }

    def missing() -> list[str]:
        page = metered.text()
        found = {key: find(page, *key) for key in numbers}
        return [f"{key}: {found[key]}, not {value}" for key, value in numbers.items() if found[key] != value]

    try:
        wait_until(lambda: not missing(), "the numbers are there")
    except AssertionError:
        assert missing() == []
    # A worker without receivers may be later than the others.
    wait_until(lambda: not any(balance(metered.text()).values()), "the books balance")
    for client in (*clients, poll):
        client.close()
    wait_until(lambda: metered.total("connections") == 0, "all have left")


def test_times_are_measured(metered: MeteredServer) -> None:
    """Each histogram has what it should count, in every process that counts it."""
    clients = [metered.open("/stream", b"[open]\n") for _ in range(4)]
    for number in range(20):
        metered.server.publish_stream("news", f"<{number}>")
    for client in clients:
        client.receive_until(b"<19>")
        client.close()

    def count(name: str, labels: str = "") -> float:
        return metered.total(f"{name}_seconds_count", labels)

    wait_until(lambda: count("publish_write") >= 20, "publish to write is measured")
    wait_until(lambda: count("bus_delay") == 2 * 20, "each worker has every item")
    assert count("origin_response") == 4
    for process in ("hub", "worker-0", "worker-1"):
        wait_until(lambda process=process: count("loop_lag", f'process="{process}"') >= 5, "the loop is watched")
        assert 10e6 < metered.total("resident_memory_bytes", f'process="{process}"') < 1e9
        cpu_of = partial(metered.total, "cpu_seconds_total", f'process="{process}"')
        wait_until(lambda cpu_of=cpu_of: cpu_of() > 0, "the system has counted a clock tick of it", 60.0)
        assert metered.total("up", f'process="{process}"') == 1
    page = metered.text()
    for name in ("publish_write", "bus_delay", "fan_out", "loop_lag", "origin_response"):
        assert total(page, f"{name}_seconds_bucket", 'le="+Inf"') == total(page, f"{name}_seconds_count")


def test_promtool_takes_the_page(metered: MeteredServer) -> None:
    """Of a server that has done something, not only of one that is made up."""
    require("promtool")
    metered.open("/plain", b"plain\n").close()
    wait_until(lambda: metered.total("requests_total") == 1, "the request is counted")
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=metered.text(), capture_output=True, text=True, timeout=60
    )
    assert done.returncode in (0, 3), done.stderr
    assert {line.split(" ")[0] for line in done.stderr.splitlines()} == REFERENCE


def test_prometheus_reads_it_with_the_example_configuration(metered: MeteredServer, short_path: Path) -> None:
    """Target, metrics and alerts are there, and every panel of the dashboard has something to show."""
    require("prometheus")
    client = metered.open("/stream", b"[open]\n")
    (port,) = free_ports(1)
    deploy = ROOT / "deploy" / "prometheus"
    (short_path / "gripproxy.rules.yml").write_text((deploy / "gripproxy.rules.yml").read_text())
    text = (deploy / "prometheus.yml").read_text().replace("127.0.0.1:9001", f"127.0.0.1:{metered.port}")
    (short_path / "prometheus.yml").write_text(re.sub("_interval: 15s", "_interval: 1s", text))
    argv = ["prometheus", f"--config.file={short_path}/prometheus.yml", f"--storage.tsdb.path={short_path}/data"]
    prometheus = Process("prometheus", [*argv, f"--web.listen-address=127.0.0.1:{port}"], short_path / "output")

    def ask(path: str) -> dict[str, object]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", f"/api/v1/{path}")
        answered = json.loads(connection.getresponse().read())
        connection.close()
        assert answered["status"] == "success"
        data: dict[str, object] = answered["data"]
        return data

    def query(text: str) -> list[str]:
        samples = ask("query?" + urllib.parse.urlencode({"query": text}))["result"]
        return [sample["value"][1] for sample in samples]  # type: ignore[attr-defined]

    try:
        prometheus.wait_for_output("Server is ready to receive web requests", 30.0)
        wait_until(lambda: query("sum(gripproxy_up)") == ["3"], "hub and workers are known to be up", 30.0)
        for text in expressions():
            wait_until(lambda text=text: query(text), f"there is something to show for {text}", 30.0)
        (target,) = ask("targets")["activeTargets"]  # type: ignore[misc]
        assert (target["health"], target["lastError"]) == ("up", "")
        (group,) = ask("rules")["groups"]  # type: ignore[misc]
        assert len(group["rules"]) >= 9 and {rule["lastError"] for rule in group["rules"] if "lastError" in rule} <= {
            ""
        }
    finally:
        prometheus.stop()
        client.close()
