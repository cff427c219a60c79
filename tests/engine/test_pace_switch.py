"""Limits on deliveries that change while items go out."""

import dataclasses
from collections.abc import Collection

from gripproxy.engine.effects import Effect
from gripproxy.engine.fan_out import FanOuts
from gripproxy.engine.hold_table import HoldTable
from gripproxy.engine.pace_switch import PaceSwitch
from gripproxy.engine.pacing import Pacing
from gripproxy.settings import Settings

UNLIMITED = Settings()
LIMITED = Settings(message_rate=100, message_hwm=50)


class Table:
    """A hold table whose deliveries are written down."""

    def __init__(self, settings: Settings) -> None:
        self.holds = HoldTable(0.0, 60.0, lambda: 0.0)
        self.holds.accounts.traffic.of("")  # the route of all
        self.switch = PaceSwitch(self.holds, None)
        self.switch.use(settings)
        self.sent: list[tuple[bytes, int]] = []

    def publish(self, payload: bytes, conn_ids: range) -> None:
        """Start an item's way to these, of whom one is few."""

        def step(ids: Collection[int], now: float) -> list[Effect]:
            self.sent += [(payload, conn_id) for conn_id in sorted(ids)]
            return []

        self.holds.fan_outs.start(step, set(conn_ids), 1, 1, 0.0)

    def run(self, now: float, turns_count: int = 1) -> None:
        for _ in range(turns_count):
            self.holds.fan_outs.wake()
            self.holds.fan_outs.resume(now)
            self.switch.step()


def test_limits_come_and_go_when_nothing_is_on_its_way() -> None:
    """The books of fan-outs go on."""
    table = Table(UNLIMITED)
    assert type(table.holds.fan_outs) is FanOuts and not table.holds.is_paced
    table.holds.fan_outs.started_count = 7
    table.switch.use(LIMITED)
    assert isinstance(table.holds.fan_outs, Pacing) and table.holds.is_paced
    assert table.holds.fan_outs.started_count == 7
    table.switch.use(UNLIMITED)
    assert type(table.holds.fan_outs) is FanOuts and not table.holds.is_paced
    assert table.holds.fan_outs.started_count == 7


def test_limit_waits_for_what_is_on_its_way() -> None:
    """What went before it goes as before, and in order."""
    table = Table(UNLIMITED)
    table.publish(b"a", range(3))
    table.switch.use(LIMITED)
    assert table.switch.is_due and not table.holds.is_paced
    table.run(0.0, 10)
    assert sorted(table.sent) == [(b"a", 0), (b"a", 1), (b"a", 2)]
    assert not table.switch.is_due and table.holds.is_paced


def test_end_of_a_limit_lets_everything_go_at_once_and_in_order() -> None:
    """A backlog at the old rate would keep the new one from coming for minutes."""
    table = Table(dataclasses.replace(LIMITED, message_rate=1, message_hwm=0))
    for payload in (b"a", b"b"):
        table.publish(payload, range(20))
    table.run(0.0)
    assert len(table.sent) < 40
    table.switch.use(UNLIMITED)
    table.publish(b"c", range(20))
    table.run(0.1, 200)
    assert type(table.holds.fan_outs) is FanOuts
    for conn_id in range(20):
        assert [payload for payload, some_id in table.sent if some_id == conn_id] == [b"a", b"b", b"c"]


def test_other_rate_counts_for_what_waits() -> None:
    """What was let in under the old limit goes out at the new rate."""
    table = Table(dataclasses.replace(LIMITED, message_rate=1, message_hwm=0))
    table.publish(b"a", range(500))
    table.run(0.0, 5)
    before_count = len(table.sent)
    assert before_count < 10
    table.switch.use(dataclasses.replace(LIMITED, message_rate=1_000_000, message_hwm=0))
    table.run(0.5, 200)
    table.run(1.0, 400)
    assert len(table.sent) == 500


def test_room_and_weights_change_in_place() -> None:
    """Also while items wait."""
    table = Table(LIMITED)
    table.holds.holds += [None] * 100
    table.publish(b"a", range(40))
    table.switch.use(dataclasses.replace(LIMITED, message_hwm=80, message_block_size=10))
    assert table.holds.receptions.block_bytes == 10
    table.publish(b"b", range(40))
    for second in range(200):
        table.run(second / 10, 5)
    assert len(table.sent) == 80  # the old room was for 50
    table.switch.use(dataclasses.replace(LIMITED, message_block_size=-1))
    assert table.holds.receptions.block_bytes == 0


def test_same_limits_change_nothing() -> None:
    """Each reload names them again."""
    table = Table(LIMITED)
    pacing = table.holds.fan_outs
    table.switch.use(dataclasses.replace(LIMITED, debug=True))
    assert table.holds.fan_outs is pacing
