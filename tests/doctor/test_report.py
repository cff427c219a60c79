"""What a person reads: one aligned line per check, then steps to paste."""

from dataclasses import replace

from gripproxy.doctor.finding import Finding, Sysctl, Verdict
from gripproxy.doctor.report import render_report
from tests.doctor.debian import MILLION


def finding(name: str, verdict: Verdict, *advice: str) -> Finding:
    return Finding(name=name, verdict=verdict, found="1", needed="22", why="why", advice=advice)


SHORT = Finding(
    name="net.core.somaxconn",
    verdict=Verdict.CHANGE,
    found="128",
    needed="4,096",
    why="clients that wait",
    sysctls=(Sysctl(key="net.core.somaxconn", value="4096", reason="r"),),
)


def test_whole_report() -> None:
    """Columns line up, and what to do comes under what it is for."""
    findings = [
        SHORT,
        finding("fd", Verdict.CHANGE, "do this"),
        finding("x", Verdict.UNKNOWN, "look there"),
        finding("y", Verdict.OK),
        finding("z", Verdict.OK, "remark"),
    ]
    assert render_report(MILLION, findings, None) == "\n".join(
        [
            "1,000,000 client connections, 8 workers (no configuration file: defaults)",
            "",
            "             check               found  needed  why",
            "change       net.core.somaxconn  128    4,096   clients that wait",
            "change       fd                  1      22      why",
            "cannot tell  x                   1      22      why",
            "ok           y                   1      22      why",
            "ok           z                   1      22      why",
            "",
            "change:",
            "  kernel values, as root:",
            "    gripproxy doctor --connections 1000000 --workers 8 --write-sysctl /etc/sysctl.d/60-gripproxy.conf",
            "    sysctl -p /etc/sysctl.d/60-gripproxy.conf",
            "      net.core.somaxconn = 4096",
            "  fd",
            "    do this",
            "",
            "cannot tell:",
            "  x",
            "    look there",
            "",
            "notes:",
            "  z",
            "    remark",
            "",
            "to change: 2",
        ]
    )


def test_written_file_is_the_next_step() -> None:
    """Who just wrote it needs no command to write it."""
    text = render_report(MILLION, [SHORT], "/etc/sysctl.d/my own.conf")
    assert "--write-sysctl" not in text
    assert "    sysctl -p '/etc/sysctl.d/my own.conf'\n" in text


def test_command_to_paste_names_the_configuration() -> None:
    """The second run must judge the same load."""
    text = render_report(replace(MILLION, workers=1, config_path="/etc/g.conf"), [SHORT], None)
    assert text.startswith("1,000,000 client connections, 1 worker (configuration: /etc/g.conf)\n")
    assert "--workers 1 --config /etc/g.conf --write-sysctl" in text


def test_summary_says_when_all_is_well_and_when_it_may_not_be() -> None:
    """The last line is what is read first."""
    assert render_report(MILLION, [finding("a", Verdict.OK)], None).endswith("\n\nnothing to change")
    doubtful = [finding("a", Verdict.OK), finding("b", Verdict.UNKNOWN)]
    assert render_report(MILLION, doubtful, None).endswith("\nnothing to change; cannot tell: 1")
