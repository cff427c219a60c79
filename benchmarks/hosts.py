"""One to four hosts with 15,000 clients each: ``python -m benchmarks.hosts --save`` (as root).

Each host is a network namespace with a cable to a switch. A publisher on a host of its own publishes by a PUB socket
that all hosts connect to, or through a relay on a further host. Measured: what an item costs each host, the relay and
the network; then, with all hosts, what happens to the others' clients when a host is cut off, dies, or joins late.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import zmq

from benchmarks.errors import BenchmarkError
from benchmarks.host_clients import Cell, HostClients, line_of
from benchmarks.machine import REPOSITORY, describe_machine, raise_file_limit
from benchmarks.namespaces import Host, Network
from benchmarks.process_tree import ProcessTree
from benchmarks.report import OURS, Column, Figure, Report
from benchmarks.watch import Watch

HTTP_PORT, PUBLISHER_PORT, IN_PORT, OUT_PORT = 8000, 5570, 5562, 5565
CHANNEL = "news"
LIMIT_S = 1_200.0
POLL_S = 0.01
COLUMNS = (
    Column("host_us", "CPU per item and host, us"),
    Column("delivery_us", "CPU per delivery, us", 2),
    Column("host_bytes", "bytes per item to a host"),
    Column("source_bytes", "bytes per item from the publisher"),
    Column("relay_us", "CPU per item in the relay, us"),
    Column("deliveries", "deliveries, each item once to each client"),
)


class BenchHost:
    """gripproxy on a host, with one worker, and its clients."""

    def __init__(self, host: Host, directory: Path, publisher: str, clients: int) -> None:
        self.host = host
        directory.mkdir()
        (directory / "routes").write_text("* test\n")
        config = directory / "gripproxy.conf"
        config.write_text(
            f"[global]\nrundir={directory}\n[runner]\nhttp_port={HTTP_PORT}\nworkers=1\nlog_level=1\nlogdir={directory}\n"
            f"client_maxconn={clients + 1000}\n[proxy]\nroutesfile=routes\n"
            f"[handler]\npush_in_sub_specs={publisher}\npush_in_sub_connect=true\n"
        )
        self.output = directory / "output"
        self.process = start(host, self.output, "--config", str(config), "--loglevel=2")
        self.clients: HostClients | None = None

    def hold(self, count: int) -> HostClients:
        self.clients = HostClients(self.host, HTTP_PORT, CHANNEL, count)
        return self.clients

    def close(self) -> None:
        if self.clients is not None:
            self.clients.close()
        end(self.process)


def start(host: Host, output: Path, *arguments: str) -> "subprocess.Popen[bytes]":
    """Start gripproxy's program on a host."""
    roots = os.pathsep.join((str(REPOSITORY / "src"), str(REPOSITORY / "workers")))
    with host.entered(), output.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "gripproxy.cli", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": roots},
            start_new_session=True,
        )


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a program and all it has started, at once."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class Estate:
    """A publisher, hosts, and perhaps a relay between them."""

    def __init__(self, directory: Path, clients: int, has_relay: bool, watch: Watch, opened: ExitStack) -> None:
        self.hosts: list[BenchHost] = []
        self.count = 0  # items published
        self._directory = directory
        self._clients = clients
        self._watch = watch
        self._opened = opened
        self._network = opened.enter_context(Network())
        self.source = self._network.add()
        with self.source.entered():
            context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
            opened.callback(context.destroy, 0)
            self._socket = context.socket(zmq.XPUB)
            self._socket.setsockopt(zmq.XPUB_VERBOSER, 1)
            self._socket.setsockopt(zmq.SNDHWM, 100_000)
            if not has_relay:
                self._socket.bind(f"tcp://{self.source.address}:{PUBLISHER_PORT}")
        self._spec = f"tcp://{self.source.address}:{PUBLISHER_PORT}"
        self.relay: ProcessTree | None = None
        if has_relay:
            self._start_relay(self._network.add())

    def _start_relay(self, host: Host) -> None:
        self._spec = f"tcp://{host.address}:{OUT_PORT}"
        output = self._directory / "relay"
        process = start(host, output, "relay", "--in", f"tcp://{host.address}:{IN_PORT}", "--out", self._spec)
        self._opened.callback(end, process)
        self.wait(lambda: output.exists() and "[relay] ready" in output.read_text(), "the relay is ready")
        self.relay = ProcessTree(process.pid)
        self._socket.connect(f"tcp://{host.address}:{IN_PORT}")

    def wait(self, look: Callable[[], bool], what: str) -> None:
        while not look():
            self._watch.check(f"until {what}")
            time.sleep(POLL_S)

    def add_host(self) -> BenchHost:
        """Start one more host with its clients, and wait until all are held and the publisher has heard of them."""
        network_host = self._network.add()
        host = BenchHost(network_host, self._directory / network_host.address, self._spec, self._clients)
        self._opened.callback(host.close)
        self.wait(lambda: "[supervisor] ready" in host.output.read_text(), "a host is ready")
        clients = host.hold(self._clients)
        self.wait(lambda: clients.counted(Cell.HELD) == self._clients, f"{self._clients:,} clients are held")
        is_first = not self.hosts
        self.hosts.append(host)
        if self.relay is None or is_first:
            self.wait(self._has_subscriber, "the publisher hears of it")
        # Through a relay, only an item shows that the way is there; who was there before gets it too.
        start_number = self.count

        def is_reached() -> bool:
            self.publish()
            self.pause(0.5)
            return bool(clients.got(self.count - 1))

        self.wait(is_reached, "items come")
        self.wait_for_all(self.hosts, range(self.count - 1, self.count))
        self._watch.say(f"{len(self.hosts)} hosts, after {self.count - start_number} items")
        return host

    def _has_subscriber(self) -> bool:
        return bool(self._socket.poll(0)) and self._socket.recv().startswith(b"\x01")

    def pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._watch.check(f"{self.count} items")
            time.sleep(POLL_S)

    def publish(self) -> None:
        text = line_of(self.count).decode().replace("\n", "\\n")
        item = b'J{"http-stream":{"content":"%s"}}' % text.encode()
        self._socket.send_multipart([CHANNEL.encode(), item])
        self.count += 1

    def wait_for_all(self, hosts: list[BenchHost], numbers: range) -> None:
        """Wait until all clients of these hosts have got these items, and see that none got another in between."""
        for host in hosts:
            clients = host.clients
            assert clients is not None
            for number in numbers:
                self.wait(
                    lambda clients=clients, number=number: clients.got(number) >= clients.count,  # type: ignore[misc]  # of defaults
                    f"item {number} reached all of {host.host.address}",
                )
                if clients.got(number) != clients.count:
                    raise BenchmarkError(f"item {number} came {clients.got(number)} times to {clients.count} clients")
            clients.check()


def measure(estate: Estate, items: int) -> dict[str, float]:
    """Publish `items`, each when the last one has reached everybody."""
    trees = [ProcessTree(host.process.pid) for host in estate.hosts]
    trees += [estate.relay] if estate.relay is not None else []
    cpu_before = [tree.cpu_s() for tree in trees]
    bytes_before = [host.host.received_bytes() for host in estate.hosts]
    sent_before = estate.source.sent_bytes()
    first = estate.count
    for _ in range(items):
        estate.publish()
        estate.wait_for_all(estate.hosts, range(estate.count - 1, estate.count))
    cpu_s = [tree.cpu_s() - before for tree, before in zip(trees, cpu_before, strict=True)]
    received = [host.host.received_bytes() - before for host, before in zip(estate.hosts, bytes_before, strict=True)]
    hosts_count = len(estate.hosts)
    assert estate.count - first == items
    host_us = sum(cpu_s[:hosts_count]) / hosts_count / items * 1e6
    clients = estate.hosts[0].clients
    assert clients is not None
    return {
        "host_us": host_us,
        "delivery_us": host_us / clients.count,
        "host_bytes": sum(received) / hosts_count / items,
        "source_bytes": (estate.source.sent_bytes() - sent_before) / items,
        "relay_us": sum(cpu_s[hosts_count:]) / items * 1e6,
        "deliveries": float(hosts_count * items * clients.count),
    }


def break_hosts(estate: Estate, cut_s: float, period_s: float) -> tuple[float, int]:
    """Cut the second host off for `cut_s`, kill the third, and add one, while items are published.

    Gives the seconds until the host that was cut off had caught up, and how many items it missed meanwhile.

    Raises:
        BenchmarkError: a client of another host missed an item, or got one twice; or of the one that was cut off.
    """
    well, cut, dead = [estate.hosts[0], *estate.hosts[3:]], estate.hosts[1], estate.hosts[2]
    first = estate.count
    cut.host.plug(False)
    dead.host.plug(False)
    end(dead.process)
    assert dead.clients is not None
    dead.clients.close()
    estate.hosts = well
    began = time.monotonic()
    late = estate.add_host()
    while time.monotonic() < began + cut_s:
        estate.publish()
        estate.wait_for_all(well, range(estate.count - 1, estate.count))
        estate.pause(period_s)
    missed = estate.count - first
    cut.host.plug(True)
    began = time.monotonic()
    estate.publish()
    estate.wait_for_all([*well, late], range(estate.count - 1, estate.count))
    estate.wait_for_all([*well, cut], range(first, estate.count))
    return time.monotonic() - began, missed


@contextlib.contextmanager
def estate_of(options: argparse.Namespace, has_relay: bool) -> Iterator[Estate]:
    watch = Watch("relay" if has_relay else "direct", LIMIT_S)
    with tempfile.TemporaryDirectory(prefix="gp-hosts-") as directory, ExitStack() as opened:
        yield Estate(Path(directory), options.clients, has_relay, watch, opened)


def main(argv: list[str] | None = None) -> int:
    """Measure as `argv` says. Gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hosts", description=__doc__)
    parser.add_argument("--clients", type=int, default=15_000, help="of each host")
    parser.add_argument("--items", type=int, default=20, help="to measure with, for each number of hosts")
    parser.add_argument("--cut", type=float, default=30.0, help="seconds that a host is cut off")
    parser.add_argument("--period", type=float, default=1.0, help="seconds between items meanwhile")
    parser.add_argument("--save", action="store_true", help="keep the figures in benchmarks/results")
    options = parser.parse_args(argv)
    raise_file_limit()
    settings = {
        "clients per host": f"{options.clients:,}",
        "items": str(options.items),
        "cut off, s": f"{options.cut:g}",
    }
    report = Report("hosts", "Several hosts: what an item costs each", COLUMNS, settings)
    try:
        for has_relay in (False, True):
            way = "through a relay" if has_relay else "publisher to hosts"
            with estate_of(options, has_relay) as estate:
                for count in (1, 2, 4):
                    while len(estate.hosts) < count:
                        estate.add_host()
                    values = measure(estate, options.items)
                    report.figures.append(Figure(OURS, f"{count} host{'s' if count > 1 else ''}, {way}", values))
                caught_up_s, missed = break_hosts(estate, options.cut, options.period)
            text = f"{missed} items, then all of them once, {caught_up_s:.1f} s after it was back"
            report.settings[f"host cut off, {way}"] = text
    except BenchmarkError as error:
        print(f"benchmarks.hosts: {error}", file=sys.stderr)
        return 1
    print(report.terminal_table())
    for name, value in report.settings.items():
        print(f"  {name}: {value}")
    if options.save:
        report.save(describe_machine())
    return 0


if __name__ == "__main__":
    sys.exit(main())
