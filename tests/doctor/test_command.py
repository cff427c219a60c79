"""`gripproxy doctor` as a whole, on a fake machine: exit status, both outputs, and the file that it writes."""

from pathlib import Path

import pytest

from gripproxy.doctor.command import check, main
from gripproxy.doctor.finding import Verdict, sysctls_of
from gripproxy.doctor.sysctl_file import parse_sysctl_file, render_sysctl_file
from tests.doctor import debian

DEPLOYED = Path(__file__).parents[2] / "deploy" / "sysctl.d" / "60-gripproxy.conf"
MILLION = ("--connections", "1000000", "--workers", "8")


def put_in_force(root: Path, text: str) -> None:
    for key, value, _ in parse_sysctl_file(text):
        debian.set_sysctl(root, key, value)


def verdicts(root: Path) -> set[Verdict]:
    return {finding.verdict for finding in check(debian.MILLION, debian.read(root))}


def test_deployed_file_is_what_the_command_writes_for_debian(root: Path) -> None:
    """It must not become a second opinion. On a difference: the text below is the new file."""
    sysctls = sysctls_of(check(debian.MILLION, debian.read(root)))
    assert DEPLOYED.read_text() == render_sysctl_file(debian.MILLION, sysctls)


def test_machine_with_the_deployed_file_needs_no_change(root: Path) -> None:
    """Debian without it does."""
    assert Verdict.CHANGE in verdicts(root)
    put_in_force(root, DEPLOYED.read_text())
    assert Verdict.CHANGE not in verdicts(root)


def test_written_file_mends_the_machine_and_stays(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Write, put in force, run again: nothing to change, and the file is still there for the next boot."""
    path = tmp_path / "60-gripproxy.conf"
    arguments = [*MILLION, "--write-sysctl", str(path)]
    assert main(arguments, root) == 1
    output, errors = capsys.readouterr()
    assert errors == f"written: {path}\n"
    assert f"    sysctl -p {path}\n" in output
    text = path.read_text()
    put_in_force(root, text)
    assert main(arguments, root) == 0
    output, errors = capsys.readouterr()
    assert errors == f"not written: {path}, no kernel value must change\n"
    assert output.endswith("nothing to change\n")
    assert path.read_text() == text


def test_growing_machine_keeps_its_earlier_values(root: Path, tmp_path: Path) -> None:
    """The second million needs another tcp_mem; what the first one needed besides must not get lost."""
    path = tmp_path / "a.conf"
    assert main([*MILLION, "--write-sysctl", str(path)], root) == 1
    put_in_force(root, path.read_text())
    debian.set_sysctl(root, "net.netfilter.nf_conntrack_max", "9000000")
    assert main(["--connections", "2000000", "--workers", "8", "--write-sysctl", str(path)], root) == 1
    values = {key: value for key, value, _ in parse_sysctl_file(path.read_text())}
    assert values["net.ipv4.tcp_mem"] == "1500000 2000000 3000000"
    assert values["net.netfilter.nf_conntrack_buckets"] == "1200000"


def test_dash_sends_the_file_alone_to_standard_output(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For a pipe into a configuration management."""
    assert main([*MILLION, "--write-sysctl", "-"], root) == 1
    output, errors = capsys.readouterr()
    assert output == DEPLOYED.read_text()
    assert "net.ipv4.tcp_mem" in errors


def test_load_comes_from_the_configuration(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is checked is what would be started."""
    config = tmp_path / "a.conf"
    config.write_text("[runner]\nhttp_port=8000\nworkers=4\nclient_maxconn=200000\n")
    assert main(["--config", str(config)], root) == 0
    assert capsys.readouterr().out.startswith(f"200,000 client connections, 4 workers (configuration: {config})\n")
    assert main(["--config", str(config), "--workers", "2"], root) == 0
    assert capsys.readouterr().out.startswith("200,000 client connections, 2 workers")
    assert main(["--config", str(config), "--connections", "200001"], root) == 1
    assert "client_maxconn=200001" in capsys.readouterr().out


def test_defaults_count_without_a_file(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As for a start."""
    monkeypatch.chdir(tmp_path)
    assert main(["--workers", "1"], root) == 0
    assert capsys.readouterr().out.startswith("50,000 client connections, 1 worker (no configuration file: defaults)\n")


def test_what_must_change_comes_first(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is what one looks for."""
    main(list(MILLION), root)
    rows = capsys.readouterr().out.splitlines()[3:15]
    ranks = [("change", "cannot", "ok", "note").index(row.split()[0]) for row in rows]
    assert ranks == sorted(ranks)
    assert ranks[0] == 0


def test_machine_that_shows_nothing_is_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A container: nothing is known to be wrong, and the last line says how much is unknown."""
    assert main([*MILLION], tmp_path) == 0
    output = capsys.readouterr().out
    assert output.endswith("nothing to change; cannot tell: 10\n")
    assert "look at /proc/sys/net/ipv4/tcp_mem on the host" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--connections", "1e6"], "number of connections must be a whole number from 1 to 100000000, not '1e6'"),
        (["--connections", "0"], "not '0'"),
        (["--connections=-5"], "not '-5'"),
        (["--connections", "1_000"], "not '1_000'"),
        (["--connections", "100000001"], "not '100000001'"),
        (["--connections", "٣"], "not '٣'"),
        (["--workers", "1025"], "the number of workers must be a whole number from 1 to 512, not '1025'"),
        (["--connections", "9" * 5000], "not '99999999999999999999...'"),
        (["1000000"], "unrecognized arguments: 1000000"),
    ],
)
def test_wrong_usage_shows_the_value(
    root: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A typing mistake must not look like a verdict."""
    with pytest.raises(SystemExit) as ended:
        main(arguments, root)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "/nonexistent.conf"], "failed to open config file: /nonexistent.conf"),
        (["--connections", "3", "--workers", "8"], "--connections 3 is less than the number of workers, 8"),
        ([*MILLION, "--write-sysctl", "/nonexistent/a.conf"], "cannot write /nonexistent/a.conf: No such file"),
    ],
)
def test_what_keeps_it_from_its_work_is_an_error(
    root: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 2: a script that takes 1 for "must change" would wait for a change that is not the point."""
    assert main(arguments, root) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert f"gripproxy doctor: error: {message}" in errors
