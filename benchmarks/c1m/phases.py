"""The parts of a run, in order; each enters its figures in the results."""

import time

from benchmarks.c1m.bare_writes import BareWriter, WriteCost
from benchmarks.c1m.board import Cell, Series
from benchmarks.c1m.crowd import Crowd
from benchmarks.c1m.forked import Forked
from benchmarks.c1m.latency import quantile
from benchmarks.c1m.monitor import Monitor
from benchmarks.c1m.plan import Plan
from benchmarks.c1m.probe import Probe
from benchmarks.c1m.proxy import MUST_BE_ZERO, ScaledGripproxy, total
from benchmarks.c1m.readings import Cpu, machine_memory, processes_cpu_s, tree_cpu
from benchmarks.c1m.stamp import StampPublisher
from benchmarks.errors import BenchmarkError

STALL_LIMIT_S = 60.0  # without a new connection
ROUND_LIMIT_S = 15.0  # what has not come by then is missing
SERIES_LIMIT_S = 300.0
LEAVE_LIMIT_S = 180.0
CHANNEL_PAUSE_S = 0.2
BARE_CLOSE_S = 0.5  # the writer keeps its ends for so long, or they would count as lost
CHANNEL_STEP = 37  # from round to round, so that each takes another channel
SLOPE_SHARE = 0.25  # of the connections: from there on the slope of memory is taken
FAILED_MIN_COUNT, FAILED_SHARE = 100, 0.001  # stop beyond the greater of both


class Phases:
    """Runs the phases and keeps their figures in `figures`: plain names with units, plain numbers."""

    def __init__(
        self,
        plan: Plan,
        server: ScaledGripproxy,
        origins: list[Forked],
        crowd: Crowd,
        monitor: Monitor,
        probe: Probe,
    ) -> None:
        self._plan = plan
        self._origins = [origin.pid for origin in origins]
        self._server = server
        self._crowd = crowd
        self._monitor = monitor
        self._probe = probe
        self._round = 0  # next free number on the board
        self._machine_base = machine_memory()
        self._user_base_bytes = 0
        self._slope_start = (0, 0)  # connections, bytes
        self._base_cores = 0.0
        self._write_cost = WriteCost()
        self.figures: dict[str, float] = {}

    def base(self) -> None:
        """Measure gripproxy before the first connection."""
        with self._monitor.phase("base"):
            self._monitor.sleep(self._plan.base_s)
            cpu, began_s = tree_cpu(self._server.tree), time.monotonic()
            self._monitor.sleep(self._plan.base_s)
            used = tree_cpu(self._server.tree) - cpu
            self._base_cores = used.total_s / (time.monotonic() - began_s)
            memory = self._server.tree.memory()
            workers = [tree.memory() for tree in self._server.worker_trees()]
            self._machine_base = machine_memory()
            self._user_base_bytes = memory.data_bytes
            self.figures |= {
                "base_user_bytes": memory.pss_bytes,
                "base_worker_bytes": sum(one.pss_bytes for one in workers) / max(1, len(workers)),
                "base_worker_max_bytes": max((one.pss_bytes for one in workers), default=0),
                "base_processes": len(self._server.tree.pids()),
                "base_cores": self._base_cores,
            }

    def connect(self) -> None:
        """Open all connections, and count what accepting them costs."""
        plan, crowd = self._plan, self._crowd
        keep_alives, clients_s, origins_s = self._keep_alives(), *self._others_cpu_s()
        cpu, began_s = tree_cpu(self._server.tree), time.monotonic()
        progress_s, opened_before = began_s, 0
        failed_max = max(FAILED_MIN_COUNT, plan.connections * FAILED_SHARE)
        try:
            with self._monitor.phase("connect"):
                while crowd.open_more():
                    now, opened = time.monotonic(), crowd.opened
                    if opened != opened_before:
                        progress_s, opened_before = now, opened
                    if now - progress_s > STALL_LIMIT_S:
                        raise BenchmarkError(f"no new connection for {STALL_LIMIT_S:.0f} s after {opened:,}")
                    if not self._slope_start[0] and opened >= SLOPE_SHARE * plan.connections:
                        self._slope_start = crowd.held, self._server.tree.memory().data_bytes
                    if crowd.failed > failed_max:
                        raise BenchmarkError(f"{crowd.failed:,} connections failed, {crowd.held:,} are held")
                    text = f"{crowd.held:,} of {plan.connections:,} held  {opened / (now - began_s + 0.01):,.0f}/s"
                    self._monitor.turn(opened / plan.connections, text)
        finally:
            duration_s, used = time.monotonic() - began_s, tree_cpu(self._server.tree) - cpu
            held = max(1, crowd.held)
            clients_s, origins_s = (
                now - then for now, then in zip(self._others_cpu_s(), (clients_s, origins_s), strict=True)
            )
            self.figures |= {
                "connections": crowd.held,
                "connect_s": duration_s,
                "accepts_per_s": crowd.held / duration_s,
                "accept_cpu_us": used.total_s / held * 1e6,
                "accept_cpu_user_us": used.user_s / held * 1e6,
                "accept_cpu_system_us": used.system_s / held * 1e6,
                "connect_client_cpu_us": clients_s / held * 1e6,
                "connect_origin_cpu_us": origins_s / held * 1e6,
                "connect_keep_alives": self._keep_alives() - keep_alives,
            }

    def settle(self) -> None:
        """Let what is put off be done, then read the memory."""
        with self._monitor.phase("settle"):
            self._monitor.sleep(self._plan.settle_s)
        self.read_memory()

    def read_memory(self) -> None:
        """Read memory as it is now."""
        held = max(1, self._crowd.held)
        user, machine = self._server.tree.memory(), machine_memory()
        workers = self._server.worker_trees()
        per_worker = self._server.counters().get("connections", {}).values()
        self.figures |= {
            "user_bytes": user.pss_bytes,
            "user_data_bytes": user.data_bytes,
            self._plan.slope_figure: self._slope(held, user.data_bytes),
            "user_bytes_per_connection": (user.data_bytes - self._user_base_bytes) / held,
            "user_all_bytes_per_connection": user.pss_bytes / held,
            "kernel_bytes_per_connection": (machine.kernel_bytes - self._machine_base.kernel_bytes) / held,
            "slab_bytes_per_connection": (machine.slab_bytes - self._machine_base.slab_bytes) / held,
            "available_bytes": machine.available_bytes,
            "worker_max_bytes": max((tree.memory().pss_bytes for tree in workers), default=0),
            "worker_connections_min": min(per_worker, default=0),
            "worker_connections_max": max(per_worker, default=0),
        }

    def idle(self) -> None:
        """Measure CPU while nothing happens but keep-alives."""
        received, written = self._crowd.board.total(Cell.KEEP_ALIVES), self._keep_alives()
        cpu, began_s = tree_cpu(self._server.tree), time.monotonic()
        with self._monitor.phase("idle"):
            self._monitor.sleep(self._plan.idle_s)
        duration_s, used = time.monotonic() - began_s, tree_cpu(self._server.tree) - cpu
        written = self._keep_alives() - written
        hundred_thousands = max(1, self._crowd.held) / 100_000
        cores = Cpu(*(seconds / duration_s for seconds in (used.total_s, used.user_s, used.system_s)))
        self.figures |= {
            "idle_s": duration_s,
            "idle_cores": cores.total_s,
            "idle_cores_per_100k": cores.total_s / hundred_thousands,
            "idle_user_cores_per_100k": cores.user_s / hundred_thousands,
            "idle_system_cores_per_100k": cores.system_s / hundred_thousands,
            "idle_keep_alives": written,
            "idle_keep_alives_received": self._crowd.board.total(Cell.KEEP_ALIVES) - received,
        }
        self._set_idle_beyond_writes()

    def bare_writes(self) -> None:
        """Measure what the same keep-alive writes cost a bare loop, with all held and to the same readers."""
        sockets = self._plan.bare_sockets * self._plan.client_processes
        writer = BareWriter(self._plan.keep_alive, sockets, self._plan.keep_alive_batch)
        found: list[WriteCost] = []
        try:
            with self._monitor.phase("bare writes"):
                self._crowd.open_bare(writer.port)

                def is_done() -> bool:
                    if (cost := writer.result()) is not None:
                        found.append(cost)
                    return bool(found)

                self._monitor.wait(is_done, STALL_LIMIT_S, f"{sockets:,} sockets")
                self._crowd.close_bare()
                self._monitor.sleep(BARE_CLOSE_S, "client processes close them", 1.0)
        finally:
            writer.close()
        if found:
            self._write_cost = found[0]
        self.figures |= {
            "bare_sockets": sockets,
            "bare_writes": self._write_cost.writes,
            "bare_write_us": self._write_cost.total_us,
            "bare_write_user_us": self._write_cost.user_us,
            "bare_write_system_us": self._write_cost.system_us,
        }
        self._set_idle_beyond_writes()

    def plain(self) -> None:
        """Time plain requests while all is held."""
        with self._monitor.phase("plain"):
            for prefix, is_kept in (("plain_new", False), ("plain_kept", True)):
                self._probe.start_series(self._plan.plain_requests, is_kept)
                found: list[list[float | None]] = []

                def is_done(found: list[list[float | None]] = found) -> bool:
                    if (result := self._probe.series_result()) is not None:
                        found.append(result)
                    return bool(found)

                text = (
                    f"{self._plan.plain_requests:,} requests, {'one kept connection' if is_kept else 'new connections'}"
                )
                if not self._monitor.wait(is_done, SERIES_LIMIT_S, text):
                    raise BenchmarkError(f"{text}: not done in {SERIES_LIMIT_S:.0f} s")
                taken = [seconds * 1000 for seconds in found[0] if seconds is not None]
                self.figures[f"{prefix}_requests"] = len(found[0])
                self.figures[f"{prefix}_failed"] = len(found[0]) - len(taken)
                for name, fraction in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
                    self.figures[f"{prefix}_{name}_ms"] = quantile(taken, fraction) or 0.0

    def one_channel(self, publisher: StampPublisher) -> None:
        """Publish to one channel at a time; how long until its first and its last subscriber has the item."""
        first_ms, last_ms, missing, expected_all, rounds = [], [], 0, 0, self._plan.channel_rounds
        with self._monitor.phase("one channel"):
            for turn in range(rounds):
                channel, number = turn * CHANNEL_STEP % self._plan.channels, self._take_round()
                expected = self._plan.subscribers(channel)
                sent_ns = publisher.publish_stamped(f"c{channel}", Series.CHANNEL, number)
                done = f"round {turn + 1} of {rounds}", turn / rounds
                missing += self._await_round(number, expected, *done)
                expected_all += expected
                times = self._crowd.board.round_times_ns(number)
                if times is not None:
                    first_ms.append((times[0] - sent_ns) / 1e6)
                    last_ms.append((times[1] - sent_ns) / 1e6)
                self._monitor.sleep(CHANNEL_PAUSE_S, *done)
        self.figures |= {
            "channel_subscribers": self._plan.subscribers(0),
            "channel_rounds": self._plan.channel_rounds,
            "channel_deliveries": expected_all,
            "channel_missing": missing,
        }
        for name, values in (("first", first_ms), ("last", last_ms)):
            self.figures[f"channel_{name}_median_ms"] = quantile(values, 0.5) or 0.0
            self.figures[f"channel_{name}_worst_ms"] = max(values, default=0.0)
        self._set_quantiles("channel", Series.CHANNEL)

    def rooms(self, publisher: StampPublisher) -> None:
        """Publish to all rooms at once, round after round."""
        plan, missing, rounds_ms = self._plan, 0, []
        cpu, (clients_s, _) = tree_cpu(self._server.tree), self._others_cpu_s()
        with self._monitor.phase("rooms"):
            for turn in range(plan.room_rounds):
                began_s, number = time.monotonic(), self._take_round()
                sent_ns = time.monotonic_ns()
                for room in range(plan.rooms):
                    publisher.publish_stamped(f"r{room}", Series.ROOMS, number)
                done = f"round {turn + 1} of {plan.room_rounds}, {plan.rooms} rooms", turn / plan.room_rounds
                missing += self._await_round(number, plan.room_subscriptions, *done)
                times = self._crowd.board.round_times_ns(number)
                rounds_ms.append((times[1] - sent_ns) / 1e6 if times else 0.0)
                self._monitor.sleep(plan.room_period_s - (time.monotonic() - began_s), *done)
        deliveries = max(1, plan.room_subscriptions * plan.room_rounds)
        used, clients_s = tree_cpu(self._server.tree) - cpu, self._others_cpu_s()[0] - clients_s
        self.figures |= {
            "room_cpu_us": used.total_s / deliveries * 1e6,
            "room_client_cpu_us": clients_s / deliveries * 1e6,
            "rooms": plan.rooms,
            "room_members": plan.room_members,
            "room_rounds": plan.room_rounds,
            "room_deliveries": plan.room_subscriptions * plan.room_rounds,
            "room_missing": missing,
            "room_round_median_ms": quantile(rounds_ms, 0.5) or 0.0,
            "room_round_worst_ms": max(rounds_ms, default=0.0),
        }
        self._set_quantiles("room", Series.ROOMS)

    def count_losses(self) -> None:
        """Enter what the clients have lost and what gripproxy's counters say."""
        self.figures |= {
            "failures": self._crowd.failed,
            "lost": self._crowd.lost,
            "damaged_reads": self._crowd.board.total(Cell.DAMAGED),
            "plain_all_failed": sum(taken is None for _, taken in self._probe.entries()),
        }
        counters, plan = self._server.counters(), self._plan
        self.figures |= {f"gripproxy_{name}": total(counters, name) for name in MUST_BE_ZERO}
        self.figures |= {
            f"gripproxy_{name}": total(counters, name)
            for name in (plan.held_metric, "connections_accepted_total", "deliveries_total", "keep_alives_total")
        }

    def leave(self) -> None:
        """Let all clients go at once, and see gripproxy forget them."""
        cpu, began_s = tree_cpu(self._server.tree), time.monotonic()
        left = self._crowd.held
        with self._monitor.phase("leave"):
            self._monitor.count_connections_with(self._held)
            self._crowd.start_leaving()
            self._monitor.wait(lambda: self._crowd.has_left, LEAVE_LIMIT_S, "clients leave")
            self._crowd.close()

            is_empty = self._monitor.wait(lambda: not self._held(), LEAVE_LIMIT_S, "gripproxy forgets them")
            used = tree_cpu(self._server.tree) - cpu
            self.figures["leave_s"] = time.monotonic() - began_s
            self.figures["leave_cpu_us"] = used.total_s / max(1, left) * 1e6
            self._monitor.sleep(self._plan.settle_s)
        self.figures["left_behind"] = 0 if is_empty else self._held()
        self.figures["left_user_bytes"] = self._server.tree.memory().pss_bytes

    def _held(self) -> int:
        return total(self._server.counters(), self._plan.held_metric)

    def _keep_alives(self) -> int:
        return total(self._server.counters(), "keep_alives_total")

    def _others_cpu_s(self) -> tuple[float, float]:
        """Give the CPU seconds of the client processes and of the origin so far."""
        return processes_cpu_s(self._crowd.pids), processes_cpu_s(self._origins)

    def _slope(self, held: int, data_bytes: int) -> float:
        held_before, bytes_before = self._slope_start
        return (data_bytes - bytes_before) / max(1, held - held_before)

    def _take_round(self) -> int:
        self._round += 1
        return self._round - 1

    def _await_round(self, number: int, expected: int, text: str, fraction: float) -> int:
        """Wait for a round's deliveries; gives how many are missing."""
        board = self._crowd.board
        self._monitor.wait(lambda: board.round_deliveries(number) >= expected, ROUND_LIMIT_S, text, fraction)
        return expected - board.round_deliveries(number)

    def _set_quantiles(self, prefix: str, series: Series) -> None:
        histogram = self._crowd.board.histogram(series)
        for name, percent in (("p50", 50), ("p99", 99), ("p999", 99.9), ("max", 100)):
            self.figures[f"{prefix}_{name}_ms"] = histogram.percentile_ms(percent) if histogram.count else 0.0

    def _set_idle_beyond_writes(self) -> None:
        """Take the bare cost of as many writes off the idle CPU, once both are known."""
        figures = self.figures
        if "idle_cores" not in figures or "bare_write_us" not in figures:
            return
        millions = max(1.0, figures["connections"]) / 1e6
        writes_cores = figures["idle_keep_alives"] * figures["bare_write_us"] / 1e6 / figures["idle_s"]
        figures["idle_writes_cores_per_million"] = writes_cores / millions
        figures["idle_beyond_cores_per_million"] = (figures["idle_cores"] - writes_cores) / millions
        figures["idle_beyond_base_cores_per_million"] = (
            figures["idle_cores"] - writes_cores - figures["base_cores"]
        ) / millions
