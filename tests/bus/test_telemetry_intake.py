"""The hub hears what workers tell, in order, and survives what makes no sense."""

import os
import stat

import pytest
import zmq

from gripproxy.bus import telemetry_intake
from gripproxy.bus.telemetry_intake import TelemetryIntake
from gripproxy.protocol.telemetry import ConnEndRecord, LiveConnsRecord, Record, encode_records
from gripproxy.scoreboard import Field
from tests.bus.bench import BusBench


def open_intake(bench: BusBench) -> tuple[TelemetryIntake, "zmq.Socket[bytes]"]:
    """Make the hub's end, and a worker's."""
    path = str(bench.directory / "telemetry")
    intake = TelemetryIntake(bench.loop, bench.zmq_context, path, bench.scoreboard.row(0))
    bench.opened.callback(intake.close)
    push = bench.socket(zmq.PUSH)
    push.connect(f"ipc://{path}")
    return intake, push


def test_each_record_goes_to_those_who_asked_for_its_type(bench: BusBench) -> None:
    """One message may hold records for several parts of the hub, and some for nobody."""
    intake, push = open_intake(bench)
    ends: list[Record] = []
    again: list[Record] = []
    lives: list[Record] = []
    intake.subscribe(ConnEndRecord, ends.append)
    intake.subscribe(ConnEndRecord, again.append)
    push.send(encode_records([ConnEndRecord("0-a-1", ""), LiveConnsRecord(0, 1, ["x"]), ConnEndRecord("0-b-2", "r")]))
    bench.run_until(lambda: len(again) == 2)
    intake.subscribe(LiveConnsRecord, lives.append)
    push.send(encode_records([LiveConnsRecord(0, 2, [])]))
    bench.run_until(lambda: bool(lives))
    assert ends == again == [ConnEndRecord("0-a-1", ""), ConnEndRecord("0-b-2", "r")]
    assert lives == [LiveConnsRecord(0, 2, [])]


def test_order_is_kept_over_many_messages(bench: BusBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ended must not seem to begin again, also when more comes than one turn of the loop reads."""
    monkeypatch.setattr(telemetry_intake, "BATCH_MAX_S", 0.0001)
    intake, push = open_intake(bench)
    ids: list[str] = []
    intake.subscribe(ConnEndRecord, lambda record: ids.append(record.id))
    sent = [str(number) for number in range(500)]
    for name in sent:
        push.send(encode_records([ConnEndRecord(name, "")]))
    bench.run_until(lambda: len(ids) == len(sent))
    assert ids == sent


def test_damaged_message_is_counted_and_the_next_one_read(bench: BusBench) -> None:
    """Statistics must not be what stops a hub."""
    intake, push = open_intake(bench)
    ids: list[str] = []
    intake.subscribe(ConnEndRecord, lambda record: ids.append(record.id))
    for damaged in (b"", b"\xc1", b"\x93", encode_records([])[:0] + b"\x91\x91\x63", b"\x81\x01\x02"):
        push.send(damaged)
    push.send(encode_records([ConnEndRecord("0-a-1", "")]))
    bench.run_until(lambda: bool(ids))
    assert bench.scoreboard.row(0)[Field.INTERNAL_ERRORS] == 5


def test_only_this_user_may_tell(bench: BusBench) -> None:
    """Whoever could write here could make up statistics."""
    open_intake(bench)
    assert stat.S_IMODE(os.stat(bench.directory / "telemetry").st_mode) == 0o600
