"""What /proc says, and the small sums over it."""

import pytest

from benchmarks.c1m.latency import quantile
from benchmarks.c1m.origin import KEEP_ALIVE_CHUNK, answer
from benchmarks.c1m.proxy import decode_metrics, total
from benchmarks.c1m.readings import Cpu, decode_meminfo
from benchmarks.errors import BenchmarkError

MEMINFO = """MemTotal:       1000 kB
MemFree:         400 kB
MemAvailable:    500 kB
Buffers:          10 kB
Cached:           90 kB
SwapCached:        0 kB
AnonPages:       200 kB
Slab:            150 kB
HugePages_Total:   0
"""


def test_kernel_memory_is_what_neither_processes_nor_caches_have() -> None:
    """Slab alone leaves out page tables, stacks and what waits in sockets."""
    memory = decode_meminfo(MEMINFO)
    assert memory.kernel_bytes == 300 << 10
    assert memory.slab_bytes == 150 << 10
    assert memory.available_bytes == 500 << 10


def test_the_split_of_cpu_time_is_scaled_to_the_exact_total() -> None:
    """Ticks are coarse; the total is not."""
    used = Cpu(12.0, 3.0, 9.1) - Cpu(2.0, 1.0, 3.1)
    assert (used.total_s, used.user_s, used.system_s) == pytest.approx((10.0, 2.5, 7.5))


@pytest.mark.parametrize(("fraction", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_a_quantile_is_the_value_at_its_rank(fraction: float, expected: float) -> None:
    """p99 of 100 requests is the second slowest."""
    assert quantile(list(range(100, 0, -1)), fraction) == expected


def test_no_values_have_no_quantile() -> None:
    """All requests of a series may fail."""
    assert quantile([], 0.5) is None


def test_metrics_are_added_up_over_processes() -> None:
    """A metric that was renamed must not count as 0."""
    page = 'x\n# TYPE gripproxy_a counter\ngripproxy_a{process="hub"} 1\ngripproxy_a{process="worker-0"} 20\n'
    counters = decode_metrics(page)
    assert counters == {"a": {"hub": 1, "worker-0": 20}}
    assert total(counters, "a") == 21
    by_state = 'gripproxy_c{process="worker-0",state="x"} 3\ngripproxy_c{process="worker-0",state="y"} 4\n'
    assert decode_metrics(by_state) == {"c": {"worker-0": 7}}
    with pytest.raises(BenchmarkError, match="no b"):
        total(counters, "b")


def test_the_origin_holds_on_channel_and_room() -> None:
    """Both are subscribed to by one request."""
    held = answer(b"GET /hold?c=c12&r=r3 HTTP/1.1\r\n\r\n", 55)
    assert b"\r\nGrip-Channel: c12, r3\r\n" in held
    assert b"\r\nGrip-Keep-Alive: :\\n\\n; format=cstring; timeout=55\r\n" in held
    assert answer(b"GET /plain HTTP/1.1\r\n\r\n", 55).endswith(b"hello from the origin\n")
    assert answer(b"GET /other HTTP/1.1\r\n\r\n", 55).startswith(b"HTTP/1.1 404 ")


def test_a_keep_alive_is_the_chunk_of_what_the_origin_asks_for() -> None:
    """Clients count it by comparing whole reads."""
    assert b"%x\r\n:\n\n\r\n" % len(b":\n\n") == KEEP_ALIVE_CHUNK
