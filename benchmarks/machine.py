"""What a result was measured on: commit, machine, versions."""

import os
import platform
import resource
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def describe_machine() -> dict[str, str]:
    """Name the things that a reader needs to judge or repeat a figure."""
    return {
        "commit": _output("git", "-C", str(REPOSITORY), "describe", "--always", "--dirty", "--abbrev=10"),
        "processor": f"{_processor()}, {os.cpu_count()} CPUs",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / (1 << 30):.0f} GiB",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "pushpin": _output("pushpin", "--version").removeprefix("pushpin "),
        "nginx": _output("nginx", "-v").removeprefix("nginx version: nginx/"),
        "nchan": _output("dpkg-query", "--show", "--showformat=${Version}", "libnginx-mod-nchan"),
        "files per process": str(resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
        "load before": f"{os.getloadavg()[0]:.2f}",
    }


def tcp_memory_bytes() -> int:
    """Give what the kernel holds in the queues of all TCP sockets of the machine, to about a megabyte per CPU."""
    return tcp_pages(Path("/proc/net/sockstat").read_text()) * os.sysconf("SC_PAGE_SIZE")


def tcp_pages(sockstat: str) -> int:
    """Decode the pages of memory of TCP from the text of /proc/net/sockstat."""
    words = sockstat.partition("TCP:")[2].splitlines()[0].split()
    return int(words[words.index("mem") + 1])


def raise_file_limit() -> None:
    """Let this process and those it starts open as many files as the hard limit allows."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return "not installed"
    return (done.stdout or done.stderr).strip() or "unknown"
