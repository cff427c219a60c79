"""The small parts that all checks share."""

from gripproxy.doctor.finding import (
    Finding,
    Sysctl,
    Verdict,
    gigabytes,
    grouped,
    round_up,
    sysctls_of,
    unknown,
    verdict_of,
)


def finding(verdict: Verdict, *keys: str) -> Finding:
    sysctls = tuple(Sysctl(key=key, value="1", reason="") for key in keys)
    return Finding(name="n", verdict=verdict, found="", needed="", why="", sysctls=sysctls)


def test_only_what_must_change_is_written() -> None:
    """A file full of values that nobody needs hides those that count."""
    findings = [finding(Verdict.CHANGE, "a", "b"), finding(Verdict.OK, "c"), finding(Verdict.NOTE, "d")]
    assert [sysctl.key for sysctl in sysctls_of(findings)] == ["a", "b"]


def test_unknown_names_the_file_to_look_at() -> None:
    """Whoever runs it in a container can look on the host."""
    found = unknown("tcp_mem", "5", "/proc/sys/net/ipv4/tcp_mem")
    assert (found.verdict, found.needed) == (Verdict.UNKNOWN, "5")
    assert "/proc/sys/net/ipv4/tcp_mem" in found.advice[0]


def test_numbers_are_for_people() -> None:
    """Seven zeros in a row cannot be counted by eye."""
    assert grouped(1_000_000, 5) == "1,000,000 5"
    assert gigabytes(5_432_000_000) == "5.4 GB"
    assert (round_up(1_000, 1_000), round_up(1_001, 1_000), round_up(1.5, 1)) == (1_000, 2_000, 2)
    assert (verdict_of(True), verdict_of(False)) == (Verdict.OK, Verdict.CHANGE)
