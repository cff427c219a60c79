"""What limits the network: ports, queues of new connections, memory of sockets, connection tracking."""

from gripproxy.doctor.finding import Finding, Load, Sysctl, Verdict, grouped, round_up, unknown, verdict_of
from gripproxy.doctor.machine import Machine, sysctl_path
from gripproxy.fd_limit import RESERVE_MAX_FDS, origin_connections

BACKLOG_COUNT = 4096  # what the workers ask for (gripproxy_worker.listener); the kernel cuts it to somaxconn
# Without SYN cookies the last quarter of the queue is kept for hosts that the kernel knows.
SYN_BACKLOG_COUNT = BACKLOG_COUNT * 4 // 3 + 1
WIDE_PORTS = (10_000, 65_535)  # above the ports that gripproxy itself listens on
PAGES_STEP = 1_000
CONNTRACK_STEP = 100_000

LOCAL_PORTS = "net.ipv4.ip_local_port_range"
SOMAXCONN = "net.core.somaxconn"
MIGRATE_REQ = "net.ipv4.tcp_migrate_req"
SYN_BACKLOG = "net.ipv4.tcp_max_syn_backlog"
TCP_MEM = "net.ipv4.tcp_mem"
TCP_WMEM = "net.ipv4.tcp_wmem"
TCP_RMEM = "net.ipv4.tcp_rmem"
CONNTRACK_MAX = "net.netfilter.nf_conntrack_max"
CONNTRACK_BUCKETS = "net.netfilter.nf_conntrack_buckets"


def network_findings(load: Load, machine: Machine) -> list[Finding]:
    """Judge what limits the network."""
    findings = [
        _somaxconn(machine),
        _syn_backlog(machine),
        _migrate_req(load, machine),
        _tcp_mem(load, machine),
        _conntrack(load, machine),
        _local_ports(load, machine),
        _buffers(machine),
    ]
    return findings + _load_generator(load, machine)


def _somaxconn(machine: Machine) -> Finding:
    if machine.somaxconn is None:
        return unknown(SOMAXCONN, grouped(BACKLOG_COUNT), f"/{sysctl_path(SOMAXCONN)}")
    reason = "Clients that may wait to be accepted, for each worker: after a restart all come at once."
    return Finding(
        name=SOMAXCONN,
        verdict=verdict_of(machine.somaxconn >= BACKLOG_COUNT),
        found=grouped(machine.somaxconn),
        needed=grouped(BACKLOG_COUNT),
        why="clients that wait for a worker to accept them",
        sysctls=(Sysctl(key=SOMAXCONN, value=str(BACKLOG_COUNT), reason=reason),),
    )


def _syn_backlog(machine: Machine) -> Finding:
    size = machine.syn_backlog_max
    if size is None or machine.syn_cookies is None:
        return unknown(SYN_BACKLOG, grouped(SYN_BACKLOG_COUNT), f"/{sysctl_path(SYN_BACKLOG)}")
    has_cookies = machine.syn_cookies > 0
    reason = "Connections half open, for each worker: counts because net.ipv4.tcp_syncookies is off."
    return Finding(
        name=SYN_BACKLOG,
        verdict=verdict_of(has_cookies or size >= SYN_BACKLOG_COUNT),
        found=grouped(size),
        needed="any" if has_cookies else grouped(SYN_BACKLOG_COUNT),
        why="SYN cookies are on, so somaxconn counts" if has_cookies else "SYN cookies are off, so it counts",
        sysctls=(Sysctl(key=SYN_BACKLOG, value=str(2 * BACKLOG_COUNT), reason=reason),),
    )


def _migrate_req(load: Load, machine: Machine) -> Finding:
    """Have the kernel give the queue of a worker that was killed to the others; it resets these clients otherwise.

    Of 100 connections that two processes had not accepted yet, 47 were reset when one was killed, and none with it.
    """
    found = machine.migrates_requests
    is_enough = bool(found) or load.workers == 1
    advice = f"    sysctl -w {MIGRATE_REQ}=1" if found is not None else "    Linux 5.14 or newer has it"
    return Finding(
        name=MIGRATE_REQ,
        verdict=Verdict.OK if is_enough else Verdict.NOTE,
        found="not there" if found is None else grouped(found),
        needed="any" if load.workers == 1 else "1",
        why="clients that wait for a worker that is killed go to another",
        advice=() if is_enough else (advice,),
    )


def _tcp_mem(load: Load, machine: Machine) -> Finding:
    """Ask for a page per connection: that is what a socket counts with something unread or not acknowledged.

    An idle one counts nothing. Above the third value each socket still gets one packet in and one out, but no
    second one: requests stall, and items wait in the worker's memory (`__sk_mem_raise_allocated` in net/core/sock.c).
    """
    pages = load.connections
    if machine.tcp_mem is None:
        return unknown(TCP_MEM, f"max {grouped(pages)}", f"/{sysctl_path(TCP_MEM)}")
    pressure = round_up(pages, PAGES_STEP)
    wanted = (pressure * 3 // 4, pressure, pressure * 3 // 2)  # in the kernel's own proportions
    value = " ".join(str(max(new, old)) for new, old in zip(wanted, machine.tcp_mem, strict=True))
    reason = f"Pages of {machine.page_bytes} bytes: one for each connection that an item is on its way to."
    return Finding(
        name=TCP_MEM,
        verdict=verdict_of(machine.tcp_mem[2] >= pages),
        found=grouped(*machine.tcp_mem),
        needed=f"max {grouped(pages)}",
        why="a page per connection while an item to all is on its way",
        sysctls=(Sysctl(key=TCP_MEM, value=value, reason=reason),),
    )


def _conntrack(load: Load, machine: Machine) -> Finding:
    name, limit = "nf_conntrack_max", machine.conntrack_max
    if limit is None:
        return Finding(name=name, verdict=Verdict.OK, found="none", needed="any", why="connections are not tracked")
    count = machine.conntrack_count or 0
    needed = count + load.connections + load.workers * RESERVE_MAX_FDS
    value = max(round_up(needed * 1.1, CONNTRACK_STEP), limit)
    is_enough, is_in_use = limit >= needed, count > 0
    sysctls = (
        Sysctl(
            key=CONNTRACK_BUCKETS,
            value=str(max(value, machine.conntrack_buckets or 0)),
            reason="Hash table of the next: as many as entries, as the kernel chooses itself.",
            is_optional=True,
        ),
        Sysctl(
            key=CONNTRACK_MAX,
            value=str(value),
            reason="A firewall tracks each connection; at the limit it drops new ones. Counts while it is loaded.",
            is_optional=True,
        ),
    )
    advice = () if is_enough else ("or let the firewall not track the ports of clients (notrack)",)
    if not is_enough and not is_in_use:
        advice = (f"nothing is tracked now; with a firewall that does, set {CONNTRACK_MAX}={value}",)
    return Finding(
        name=name,
        verdict=verdict_of(is_enough) if is_in_use else Verdict.OK if is_enough else Verdict.NOTE,
        found=grouped(limit),
        needed=grouped(needed),
        why=f"a firewall that tracks connections drops what is above; {grouped(count)} now",
        advice=advice,
        sysctls=sysctls,
    )


def _local_ports(load: Load, machine: Machine) -> Finding:
    needed = load.workers * origin_connections(machine.fd_limit or 2 * RESERVE_MAX_FDS)
    if machine.local_ports is None:
        return unknown(LOCAL_PORTS, f"{grouped(needed)} ports", f"/{sysctl_path(LOCAL_PORTS)}")
    first, last = machine.local_ports
    ports, wide = last - first + 1, WIDE_PORTS[1] - WIDE_PORTS[0] + 1
    advice: tuple[str, ...] = ()
    if ports < needed:
        advice = (
            "all workers together may have so many connections to one origin address, if it is slow; beyond the",
            "range its requests fail with 502. Held clients take no port. Several targets or addresses help, or:",
        )
        if ports < wide:
            advice += (f"    sysctl -w {LOCAL_PORTS}='{WIDE_PORTS[0]} {WIDE_PORTS[1]}'",)
    return Finding(
        name="ip_local_port_range",
        verdict=Verdict.OK if ports >= needed else Verdict.NOTE,
        found=f"{grouped(ports)} ports",
        needed=f"{grouped(needed)} ports",
        why="connections to one origin address, at the most",
        advice=advice,
    )


def _buffers(machine: Machine) -> Finding:
    """Say what a client that does not read can take; the values are sound as Linux ships them."""
    if machine.tcp_wmem is None or machine.tcp_rmem is None:
        return unknown("tcp_wmem, tcp_rmem", "any", f"/{sysctl_path(TCP_WMEM)}")
    return Finding(
        name="tcp_wmem, tcp_rmem",
        verdict=Verdict.OK,
        found=f"max {grouped(machine.tcp_wmem[2])}, {grouped(machine.tcp_rmem[2])}",
        needed="any",
        why="an idle connection takes none; tcp_mem bounds the sum",
    )


def _load_generator(load: Load, machine: Machine) -> list[Finding]:
    """Say what clients on this machine need, which nobody but a load test has."""
    if machine.local_ports is None:
        return []
    ports = machine.local_ports[1] - machine.local_ports[0] + 1
    if load.connections <= ports:
        return []
    pairs = -(-load.connections // ports)
    advice = (
        f"for a load test from this machine: at least {grouped(pairs)} pairs of source address (127.0.0.1, ...) and",
        "listening port, and for the clients' ends as many open files and as much kernel memory again",
    )
    return [
        Finding(
            name="clients on one address",
            verdict=Verdict.NOTE,
            found=f"{grouped(ports)} ports",
            needed=f"{grouped(load.connections)} ports",
            why="one address connects so often to one listener",
            advice=advice,
        )
    ]
