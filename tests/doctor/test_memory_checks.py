"""Memory for processes, idle connections, and an item on its way to all."""

from dataclasses import replace

from gripproxy.doctor.finding import Finding, Verdict
from gripproxy.doctor.machine import Machine
from gripproxy.doctor.memory_checks import held_bytes, memory_findings
from tests.doctor.debian import MILLION

NEEDED_BYTES = 10 * 14_000_000 + 1_000_000 * (300 + 3_900 + 1_100)


def found(machine: Machine) -> Finding:
    (finding,) = memory_findings(MILLION, machine)
    return finding


def test_memory_is_judged_with_the_item_in_flight(machine: Machine) -> None:
    """Idle connections alone would fit, until somebody publishes to all of them."""
    assert found(replace(machine, memory_available_bytes=NEEDED_BYTES)).verdict is Verdict.OK
    short = found(replace(machine, memory_available_bytes=NEEDED_BYTES - 1))
    assert held_bytes(MILLION) < NEEDED_BYTES
    assert short.verdict is Verdict.CHANGE
    assert "enough for 999,999 connections" in short.advice[0]


def test_lower_limit_of_a_cgroup_counts(machine: Machine) -> None:
    """A container is killed at its own limit, whatever the host has."""
    finding = found(replace(machine, memory_cgroup_bytes=2_000_000_000))
    assert finding.verdict is Verdict.CHANGE
    assert finding.found == "2.0 GB in the cgroup"
    assert "MemoryMax=5441M" in finding.advice[0]
    assert found(replace(machine, memory_cgroup_bytes=6_000_000_000)).verdict is Verdict.OK


def test_higher_limit_of_a_cgroup_does_not_help(machine: Machine) -> None:
    """What the machine does not have no limit gives."""
    poor = replace(machine, memory_available_bytes=10_000_000, memory_cgroup_bytes=10**12)
    assert found(poor).verdict is Verdict.CHANGE
    assert "enough for 0 connections" in found(poor).advice[0]


def test_unreadable_memory_is_no_verdict(machine: Machine) -> None:
    """As for every other value."""
    assert found(replace(machine, memory_available_bytes=None)).verdict is Verdict.UNKNOWN
