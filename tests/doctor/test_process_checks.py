"""Descriptors, open files, watches, tasks and cores against the planned load."""

from dataclasses import replace

import pytest

from gripproxy.doctor.finding import Finding, Load, Verdict
from gripproxy.doctor.machine import Machine
from gripproxy.doctor.process_checks import process_findings, safe_fd_limit
from gripproxy.fd_limit import needed_limit, needed_workers
from tests.doctor.debian import MILLION, named


def found(name: str, machine: Machine, load: Load = MILLION) -> Finding:
    return named(process_findings(load, machine), name)


def test_debian_is_enough_for_a_million(machine: Machine) -> None:
    """With a worker for each of 8 cores nothing of this kind must change."""
    assert {finding.verdict for finding in process_findings(MILLION, machine)} == {Verdict.OK}


def test_fd_limit_is_judged_to_the_last_descriptor(machine: Machine) -> None:
    """It is the limit that is met first, and the start report must agree."""
    needed = needed_limit(1_000_000, 8)
    assert found("fd limit per process", replace(machine, fd_limit=needed)).verdict is Verdict.OK
    short = found("fd limit per process", replace(machine, fd_limit=needed - 1))
    assert short.verdict is Verdict.CHANGE
    assert short.needed == "127,754"


def test_advice_for_descriptors_is_enough(machine: Machine) -> None:
    """Each way that is named must lead to an ok, and the unit's limit also when a worker has died."""
    advice = "\n".join(found("fd limit per process", replace(machine, fd_limit=20_000)).advice)
    workers = needed_workers(1_000_000, 20_000)
    assert f"workers={workers} in the configuration" in advice
    assert "LimitNOFILE=144000" in advice
    assert "root  hard  nofile  144000" in advice
    survivors_share = 1_000_000 / 8 + 1_000_000 / 8 / 8
    assert safe_fd_limit(MILLION) >= survivors_share + 1_100
    after = found("fd limit per process", replace(machine, fd_limit=20_000), replace(MILLION, workers=workers))
    assert after.verdict is Verdict.OK


def test_single_worker_needs_no_more_than_all(machine: Machine) -> None:
    """When it dies all clients come back to it: the same number."""
    assert safe_fd_limit(replace(MILLION, workers=1)) == 1_002_000


def test_more_workers_than_can_be_configured_are_not_advised(machine: Machine) -> None:
    """Following it would end in an error."""
    advice = found("fd limit per process", replace(machine, fd_limit=1_024)).advice
    assert not any("more workers" in line for line in advice)


def test_limit_that_is_enough_only_while_all_live_gets_a_remark(machine: Machine) -> None:
    """No reason to fail, but worth knowing."""
    finding = found("fd limit per process", replace(machine, fd_limit=130_000))
    assert finding.verdict is Verdict.OK
    assert "144,000" in finding.advice[0]
    assert found("fd limit per process", machine).advice == ()


def test_nr_open_counts_only_where_the_limit_must_rise(machine: Machine) -> None:
    """It caps the hard limit; with more workers under the present limit it can stay."""
    load = replace(MILLION, connections=4_000_000, workers=2)
    finding = found("fs.nr_open", machine, load)
    assert finding.verdict is Verdict.CHANGE
    assert finding.sysctls[0].value == str(safe_fd_limit(load))
    assert found("fs.nr_open", replace(machine, fd_limit=9_999_999), load).verdict is Verdict.OK


def test_open_files_of_others_count(machine: Machine) -> None:
    """file-max is for the whole machine."""
    needed = 1_184 + 1_000_000 + 8 * 1_100
    assert found("fs.file-max", replace(machine, file_max=needed)).verdict is Verdict.OK
    finding = found("fs.file-max", replace(machine, file_max=needed - 1))
    assert finding.verdict is Verdict.CHANGE
    assert int(finding.sysctls[0].value) > needed


def test_watches_of_a_small_machine_are_too_few(machine: Machine) -> None:
    """The kernel gives a 25th of the memory: 4 GiB are not enough for a million."""
    finding = found("fs.epoll.max_user_watches", replace(machine, epoll_watches_max=913_000))
    assert finding.verdict is Verdict.CHANGE
    assert int(finding.sysctls[0].value) >= 1_008_800


def test_tasks_of_a_unit_are_counted(machine: Machine) -> None:
    """A container with 50 tasks does not even start 8 workers."""
    assert found("tasks in the cgroup", replace(machine, tasks_cgroup_count=64)).verdict is Verdict.OK
    finding = found("tasks in the cgroup", replace(machine, tasks_cgroup_count=63))
    assert finding.verdict is Verdict.CHANGE
    assert "TasksMax=64" in finding.advice[0]


@pytest.mark.parametrize(("workers", "verdict"), [(8, Verdict.OK), (56, Verdict.NOTE), (2, Verdict.NOTE)])
def test_cores_are_never_a_reason_to_fail(machine: Machine, workers: int, verdict: Verdict) -> None:
    """Too many or too few workers serve all the same."""
    assert found("CPU cores", machine, replace(MILLION, workers=workers)).verdict is verdict


def test_own_limit_counts_when_a_file_sets_it(machine: Machine) -> None:
    """gripproxy itself would refuse the rest; without a file it is only a default."""
    asked = replace(MILLION, client_maxconn=50_000)
    assert found("client_maxconn", machine, asked).verdict is Verdict.NOTE
    finding = found("client_maxconn", machine, replace(asked, config_path="/etc/g.conf"))
    assert finding.verdict is Verdict.CHANGE
    assert finding.advice == ("in [runner] of /etc/g.conf: client_maxconn=1000000",)


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("fd_limit", "fd limit per process"),
        ("nr_open", "fs.nr_open"),
        ("file_max", "fs.file-max"),
        ("files_count", "fs.file-max"),
        ("epoll_watches_max", "fs.epoll.max_user_watches"),
    ],
)
def test_missing_value_is_no_verdict(machine: Machine, field: str, name: str) -> None:
    """Neither a false alarm nor a false comfort."""
    assert found(name, replace(machine, **{field: None})).verdict is Verdict.UNKNOWN
