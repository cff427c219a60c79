"""The command line of `gripproxy relay`."""

from pathlib import Path

import pytest

from gripproxy.errors import ConfigError
from gripproxy.relay import command
from gripproxy.relay.plan import SidePlan

PUBLIC, SECRET = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7", "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6"  # RFC 26's
SIDES = ("--in", "ipc://a", "--out", "ipc://b")


def test_plan_of_a_whole_command_line(tmp_path: Path) -> None:
    """Addresses and keys, each side with its own; keys come from files, too."""
    (tmp_path / "key").write_text(PUBLIC)
    keys = ("--curve-secret-key", SECRET, "--in-client-key", f"file:{tmp_path}/key")
    more = ("--in", "ipc://c", "--out-connect", "ipc://d", "--queue", "5", "--metrics", "9002")
    plan = command.read_plan(command.new_parser().parse_args([*SIDES, *keys, *more]))
    clients = frozenset((PUBLIC.encode(),))
    assert plan.publishers == SidePlan(name="in", noun="publisher", binds=("ipc://a", "ipc://c"), client_keys=clients)
    assert plan.hosts == SidePlan(name="out", noun="host", binds=("ipc://b",), connects=("ipc://d",))
    assert (plan.queue_max_count, plan.metrics_spec, plan.secret_key) == (5, "9002", SECRET.encode())


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--in", "ipc://a"), "--out or --out-connect says where hosts are"),
        (("--out", "ipc://a"), "--in or --in-connect says where publishers are"),
        ((*SIDES, "--in-client-key", PUBLIC), "--in-client-key without --curve-secret-key: nobody would be kept out"),
        ((*SIDES, "--out-server-key", PUBLIC), "--out-server-key is for --out-connect"),
        (
            ("--in", "tcp://a:99999", "--out", "ipc://b"),
            "--in: must be tcp://ADDRESS:PORT or ipc://PATH, not 'tcp://a:99",
        ),
        (("--in", "", "--out", "ipc://b"), "--in: must be tcp://ADDRESS:PORT or ipc://PATH, not ''"),
        (("--in", "ipc://a", "--out-connect", "inproc://b"), "--out-connect: must be tcp://ADDRESS:PORT or ipc://PATH"),
        ((*SIDES, "--curve-secret-key", "x"), "--curve-secret-key: no secret key in Z85"),
        (
            ("--in-connect", "ipc://a", "--out", "ipc://b", "--curve-secret-key", SECRET)
            + ("--in-server-key", PUBLIC, "--in-client-key", PUBLIC),
            "--in-client-key together with --in-server-key",
        ),
    ],
)
def test_what_makes_no_sense(arguments: tuple[str, ...], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is refused with its reason, before anything is opened."""
    with pytest.raises(ConfigError, match=reason):
        command.read_plan(command.new_parser().parse_args(arguments))
    assert command.main(arguments) == 1
    assert capsys.readouterr().err.startswith(f"gripproxy relay: error: {reason}")


@pytest.mark.parametrize("queue", ["0", "x", "-1", "10000001"])
def test_queue_is_a_count(queue: str) -> None:
    with pytest.raises(SystemExit):
        command.new_parser().parse_args([*SIDES, "--queue", queue])
