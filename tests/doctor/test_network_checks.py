"""Ports, queues, socket memory and connection tracking against the planned load."""

from dataclasses import replace

import pytest

from gripproxy.doctor.finding import Finding, Load, Verdict
from gripproxy.doctor.machine import Machine
from gripproxy.doctor.network_checks import BACKLOG_COUNT, network_findings
from gripproxy_worker import listener
from tests.doctor.debian import MILLION, named


def found(name: str, machine: Machine, load: Load = MILLION) -> Finding:
    return named(network_findings(load, machine), name)


def test_backlog_is_what_the_workers_ask_for() -> None:
    """The check would otherwise judge another program."""
    assert BACKLOG_COUNT == listener.BACKLOG_COUNT


def test_small_somaxconn_must_change(machine: Machine) -> None:
    """128, of kernels before 5.4, loses clients that come back all at once."""
    finding = found("net.core.somaxconn", replace(machine, somaxconn=4_095))
    assert finding.verdict is Verdict.CHANGE
    assert [(sysctl.key, sysctl.value) for sysctl in finding.sysctls] == [("net.core.somaxconn", "4096")]
    assert found("net.core.somaxconn", machine).verdict is Verdict.OK


def test_syn_backlog_counts_without_cookies_only(machine: Machine) -> None:
    """With SYN cookies the kernel does not look at it (tcp_conn_request)."""
    assert found("net.ipv4.tcp_max_syn_backlog", machine).verdict is Verdict.OK
    finding = found("net.ipv4.tcp_max_syn_backlog", replace(machine, syn_cookies=0))
    assert finding.verdict is Verdict.CHANGE
    value = int(finding.sysctls[0].value)
    assert value * 3 // 4 >= BACKLOG_COUNT
    enough = replace(machine, syn_cookies=0, syn_backlog_max=value)
    assert found("net.ipv4.tcp_max_syn_backlog", enough).verdict is Verdict.OK


def test_queue_of_a_killed_worker_goes_to_another(machine: Machine) -> None:
    """The kernel resets who waits in it, unless it is told to migrate them (tcp_v4_syn_recv_sock, since 5.14)."""
    finding = found("net.ipv4.tcp_migrate_req", machine)
    assert finding.verdict is Verdict.NOTE
    assert finding.advice == ("    sysctl -w net.ipv4.tcp_migrate_req=1",)
    assert found("net.ipv4.tcp_migrate_req", replace(machine, migrates_requests=1)).verdict is Verdict.OK
    assert found("net.ipv4.tcp_migrate_req", machine, replace(MILLION, workers=1)).verdict is Verdict.OK
    assert found("net.ipv4.tcp_migrate_req", replace(machine, migrates_requests=None)).found == "not there"


def test_tcp_mem_has_a_page_for_each_connection(machine: Machine) -> None:
    """A socket with one unread byte counts a whole page, an idle one nothing."""
    finding = found("net.ipv4.tcp_mem", machine)
    assert finding.verdict is Verdict.CHANGE
    assert finding.sysctls[0].value == "750000 1000000 1500000"
    at_the_limit = replace(machine, tcp_mem=(1, 2, 1_000_000))
    assert found("net.ipv4.tcp_mem", at_the_limit).verdict is Verdict.OK
    assert found("net.ipv4.tcp_mem", replace(machine, tcp_mem=(1, 2, 999_999))).verdict is Verdict.CHANGE


def test_tcp_mem_never_falls(machine: Machine) -> None:
    """Somebody may have raised one of the three on purpose."""
    raised = replace(machine, tcp_mem=(800_000, 900_000, 950_000))
    assert found("net.ipv4.tcp_mem", raised).sysctls[0].value == "800000 1000000 1500000"


def test_tracked_connections_must_fit(machine: Machine) -> None:
    """A full table drops new connections of everybody on the machine."""
    finding = found("nf_conntrack_max", machine)
    assert finding.verdict is Verdict.CHANGE
    assert [(sysctl.key, sysctl.value, sysctl.is_optional) for sysctl in finding.sysctls] == [
        ("net.netfilter.nf_conntrack_buckets", "1200000", True),
        ("net.netfilter.nf_conntrack_max", "1200000", True),
    ]
    assert found("nf_conntrack_max", replace(machine, conntrack_max=1_200_000)).verdict is Verdict.OK


def test_tracking_that_is_not_in_use_is_a_note(machine: Machine) -> None:
    """The module is often loaded without a rule that needs it; then it tracks nothing."""
    finding = found("nf_conntrack_max", replace(machine, conntrack_count=0))
    assert finding.verdict is Verdict.NOTE
    assert "net.netfilter.nf_conntrack_max=1200000" in finding.advice[0]
    assert found("nf_conntrack_max", replace(machine, conntrack_max=None)).verdict is Verdict.OK


def test_ports_are_for_connections_to_one_origin(machine: Machine) -> None:
    """Held clients take none: 8 workers have at most 8,000, and 28 fit into Linux's range."""
    assert found("ip_local_port_range", machine).verdict is Verdict.OK
    assert found("ip_local_port_range", machine, replace(MILLION, workers=28)).verdict is Verdict.OK
    finding = found("ip_local_port_range", machine, replace(MILLION, workers=29))
    assert finding.verdict is Verdict.NOTE
    assert finding.advice[-1].endswith("net.ipv4.ip_local_port_range='10000 65535'")
    widened = replace(machine, local_ports=(10_000, 65_535))
    assert "sysctl" not in found("ip_local_port_range", widened, replace(MILLION, workers=56)).advice[-1]


def test_load_test_from_here_needs_many_addresses(machine: Machine) -> None:
    """The first thing that stops who tries it."""
    finding = found("clients on one address", machine)
    assert finding.verdict is Verdict.NOTE
    assert "at least 36 pairs" in finding.advice[0]
    names = [finding.name for finding in network_findings(replace(MILLION, connections=28_232), machine)]
    assert "clients on one address" not in names


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("somaxconn", "net.core.somaxconn"),
        ("syn_backlog_max", "net.ipv4.tcp_max_syn_backlog"),
        ("syn_cookies", "net.ipv4.tcp_max_syn_backlog"),
        ("tcp_mem", "net.ipv4.tcp_mem"),
        ("tcp_wmem", "tcp_wmem, tcp_rmem"),
        ("local_ports", "net.ipv4.ip_local_port_range"),
    ],
)
def test_missing_value_is_no_verdict(machine: Machine, field: str, name: str) -> None:
    """Most of these are not there in a container."""
    assert found(name, replace(machine, **{field: None})).verdict is Verdict.UNKNOWN
