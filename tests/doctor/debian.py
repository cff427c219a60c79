"""A machine as Debian 12 sets it up, as files under a fake root and as the values read from them."""

from pathlib import Path

from gripproxy.doctor.finding import Finding, Load
from gripproxy.doctor.machine import KernelFiles, Machine, read_machine, sysctl_path

CPUS_COUNT = 8
MILLION = Load(connections=1_000_000, workers=CPUS_COUNT, client_maxconn=1_000_000)

# 16 GiB, systemd, and a firewall that tracks connections.
SYSCTLS = {
    "fs.nr_open": "1048576",
    "fs.file-max": "9223372036854775807",
    "fs.file-nr": "1184\t0\t9223372036854775807",
    "fs.epoll.max_user_watches": "3655372",
    "net.core.somaxconn": "4096",
    "net.ipv4.ip_local_port_range": "32768\t60999",
    "net.ipv4.tcp_max_syn_backlog": "1024",
    "net.ipv4.tcp_mem": "190185\t253582\t380370",
    "net.ipv4.tcp_migrate_req": "0",
    "net.ipv4.tcp_rmem": "4096\t131072\t6291456",
    "net.ipv4.tcp_syncookies": "1",
    "net.ipv4.tcp_wmem": "4096\t16384\t4194304",
    "net.netfilter.nf_conntrack_buckets": "262144",
    "net.netfilter.nf_conntrack_count": "37",
    "net.netfilter.nf_conntrack_max": "262144",
}
FILES = {
    "proc/self/limits": (
        "Limit                     Soft Limit           Hard Limit           Units     \n"
        "Max processes             63448                63448                processes \n"
        "Max open files            1024                 524288               files     \n"
    ),
    "proc/meminfo": "MemTotal:       16384000 kB\nMemFree:          900000 kB\nMemAvailable:   15500000 kB\n",
    "proc/self/cgroup": "0::/system.slice/gripproxy.service\n",
    "sys/fs/cgroup/system.slice/gripproxy.service/memory.max": "max\n",
    "sys/fs/cgroup/system.slice/gripproxy.service/memory.current": "200000000\n",
    "sys/fs/cgroup/system.slice/gripproxy.service/pids.max": "4915\n",
    "sys/fs/cgroup/system.slice/gripproxy.service/pids.current": "10\n",
}


def write_file(root: Path, path: str, text: str) -> None:
    """Put one file under the fake root."""
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def set_sysctl(root: Path, key: str, value: str) -> None:
    """Put a kernel value in force on the fake machine."""
    write_file(root, sysctl_path(key), f"{value}\n")


def install(root: Path) -> Path:
    """Write all files of the machine under `root`."""
    for path, text in FILES.items():
        write_file(root, path, text)
    for key, value in SYSCTLS.items():
        set_sysctl(root, key, value)
    return root


def read(root: Path) -> Machine:
    """Read the machine back as the command does."""
    return read_machine(KernelFiles(root), CPUS_COUNT, 4096)


def named(findings: list[Finding], name: str) -> Finding:
    """Give the finding of that name."""
    (finding,) = (finding for finding in findings if finding.name == name)
    return finding
