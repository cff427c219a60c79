"""CURVE on the inputs: who gets in, who does not, and that it is said."""

import re
import time
from pathlib import Path

import pytest
import zmq
import zmq.auth

from gripproxy.bus.curve import CurveGate, CurveKeys, read_curve_keys
from gripproxy.bus.watched_socket import AnySocket
from gripproxy.errors import ConfigError
from gripproxy.scoreboard import Field
from gripproxy.settings import Settings
from tests.bus.bench import BusBench

SERVER_PUBLIC, SERVER_SECRET = zmq.curve_keypair()
KNOWN_PUBLIC, KNOWN_SECRET = zmq.curve_keypair()
OTHER_PUBLIC, OTHER_SECRET = zmq.curve_keypair()


class Gated:
    """A PULL socket behind a gate, and pushers of the test's own context."""

    def __init__(self, bench: BusBench, *clients: bytes) -> None:
        self._bench = bench
        self._spec = f"ipc://{bench.directory}/pull"
        self.gate = CurveGate(
            bench.loop, CurveKeys(SERVER_SECRET, SERVER_PUBLIC, frozenset(clients)), bench.scoreboard.row(0)
        )
        bench.opened.callback(self.gate.close)
        self._pull = self.gate.context.socket(zmq.PULL)
        self._pull.bind(self._spec)
        self.gate.watch("push_in_spec", self._pull)

    @property
    def unauthorized_count(self) -> int:
        return int(self._bench.scoreboard.row(0)[Field.UNAUTHORIZED])

    def push(self, text: bytes, keys: tuple[bytes, bytes] | None, server_key: bytes = SERVER_PUBLIC) -> AnySocket:
        pusher = self._bench.socket(zmq.PUSH)
        if keys is not None:
            pusher.curve_publickey, pusher.curve_secretkey = keys
            pusher.curve_serverkey = server_key
        pusher.connect(self._spec)
        pusher.send(text)
        return pusher

    def received(self) -> bytes:
        """Turn the loop, which answers ZeroMQ's questions, until something comes."""
        frames: list[bytes] = []

        def is_received() -> bool:
            try:
                frames.append(self._pull.recv(zmq.NOBLOCK))
            except zmq.Again:
                return False
            return True

        self._bench.run_until(is_received)
        return frames[0]


def test_without_a_list_the_servers_public_key_is_enough(bench: BusBench, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody reads what is sent on the way, and who does not know the key sends nothing."""
    gated = Gated(bench)
    gated.push(b"plain", None)
    bench.run_until(lambda: "push_in_spec: a client did not get in: it has to use CURVE" in caplog.text)
    gated.push(b"hi", (OTHER_PUBLIC, OTHER_SECRET))
    assert gated.received() == b"hi"


def test_wrong_server_key_does_not_get_in(bench: BusBench) -> None:
    """As when somebody else answers at the address; the log of both sides shows it."""
    gated = Gated(bench)
    gated.push(b"no", (KNOWN_PUBLIC, KNOWN_SECRET), OTHER_PUBLIC)
    bench.run_until(lambda: gated.unauthorized_count > 0)
    gated.push(b"yes", (KNOWN_PUBLIC, KNOWN_SECRET))
    assert gated.received() == b"yes"


def test_only_listed_clients_get_in(bench: BusBench, caplog: pytest.LogCaptureFixture) -> None:
    """And the log says so once, not ten times a second: such a client comes again and again."""
    gated = Gated(bench, KNOWN_PUBLIC)
    gated.push(b"no", (OTHER_PUBLIC, OTHER_SECRET))
    bench.run_until(lambda: gated.unauthorized_count > 0)
    gated.push(b"yes", (KNOWN_PUBLIC, KNOWN_SECRET))
    assert gated.received() == b"yes"
    (record,) = caplog.records
    assert record.message.startswith("turned a ZeroMQ client at ")
    assert record.message.endswith(" away: its key is not in zmq_curve_client_keys")


def test_socket_without_curve_is_noticed(bench: BusBench) -> None:
    """An input that was forgotten would stand open."""
    gated = Gated(bench)
    with pytest.raises(ConfigError, match="command_spec: ZeroMQ refuses CURVE for it"):
        gated.gate.watch("command_spec", bench.socket(zmq.ROUTER))


def test_keys_are_text_or_files(tmp_path: Path) -> None:
    """Files hold the key alone or what zmq.auth writes, of which each side takes its half."""
    certificate, secret_certificate = zmq.auth.create_certificates(tmp_path, "alice")
    public, secret = zmq.auth.load_certificate(secret_certificate)
    (tmp_path / "plain").write_bytes(KNOWN_PUBLIC + b"\n")
    settings = Settings(
        zmq_curve_secret_key=f"file:{secret_certificate}",
        zmq_curve_client_keys=(f"file:{certificate}", f"file:{tmp_path}/plain", OTHER_PUBLIC.decode()),
    )
    assert secret is not None
    assert read_curve_keys(settings) == CurveKeys(secret, public, frozenset((public, KNOWN_PUBLIC, OTHER_PUBLIC)))
    assert read_curve_keys(Settings()) is None


def test_unusable_keys_refuse_the_start(tmp_path: Path) -> None:
    """A server without the keys that were asked for would let everybody in."""
    public_only, _ = zmq.auth.create_certificates(tmp_path, "alice")
    secret_text = SERVER_SECRET.decode()
    for settings, text in (
        (Settings(zmq_curve_secret_key="x" * 39), "zmq_curve_secret_key: no secret key in Z85"),
        (Settings(zmq_curve_secret_key='"' * 40), "zmq_curve_secret_key: no secret key in Z85"),
        (Settings(zmq_curve_secret_key="\xe4" * 40), "zmq_curve_secret_key: no secret key in Z85"),
        (Settings(zmq_curve_secret_key=f"file:{public_only}"), f"{public_only}: zmq_curve_secret_key: no secret key"),
        (Settings(zmq_curve_secret_key=f"file:{tmp_path}/none"), "cannot read the key file: No such file"),
        (Settings(zmq_curve_secret_key=secret_text, zmq_curve_client_keys=("x",)), "zmq_curve_client_keys: no public"),
        (Settings(zmq_curve_client_keys=(KNOWN_PUBLIC.decode(),)), "nobody would be kept out"),
        (Settings(push_in_sub_server_key=KNOWN_PUBLIC.decode()), "push_in_sub_server_key without push_in_sub_connect"),
        (Settings(push_in_sub_server_key="x", push_in_sub_connect=True), "push_in_sub_server_key: no public key"),
    ):
        with pytest.raises(ConfigError, match=re.escape(text)) as refused:
            read_curve_keys(settings)
        assert secret_text not in str(refused.value)


def test_warnings_are_throttled(
    bench: BusBench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not said is counted in what is said next."""
    now_s = 1_000.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    gated = Gated(bench)
    for _ in range(3):
        gated.gate._say("away")
    now_s += 10.0
    gated.gate._say("away")
    assert [record.message for record in caplog.records] == ["away", "away (3 attempts refused since the last line)"]
