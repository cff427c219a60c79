"""Limits on deliveries (`message_rate`, `message_hwm`, `message_block_size`) as the settings have them at any time."""

from gripproxy.engine.fan_out import FanOuts
from gripproxy.engine.hold_table import HoldTable
from gripproxy.engine.pacing import Pacing
from gripproxy.engine.rate_budget import Alone, RateBoard, RateBudget
from gripproxy.settings import Settings

RATE_MAX = 1_000_000_000  # deliveries a second: as good as no limit


class PaceSwitch:
    """Changes how items go out. Those on their way stay in order, so it waits until there are none where it must.

    `step` is to be called now and then until `is_due` is false.
    """

    def __init__(self, holds: HoldTable, board: RateBoard | None) -> None:
        self.is_due = False
        self._holds = holds
        self._board = board or Alone()
        self._rate = 0
        self._waiting_max = 0

    def use(self, settings: Settings) -> None:
        """Let items go out as these settings say."""
        before = self._rate, self._waiting_max, self._holds.receptions.block_bytes
        self._rate, self._waiting_max = max(0, settings.message_rate), settings.message_hwm
        self._holds.receptions.block_bytes = max(0, settings.message_block_size)
        if before == (self._rate, self._waiting_max, self._holds.receptions.block_bytes):
            return
        fan_outs = self._holds.fan_outs
        if isinstance(fan_outs, Pacing):
            fan_outs.use(self._budget(), self._waiting_max if self._rate else 0, self._is_weighing)
        self.is_due = isinstance(fan_outs, Pacing) != bool(self._rate)
        self.step()

    def step(self) -> None:
        """Switch between limited and unlimited deliveries as soon as nothing is on its way."""
        if not self.is_due or not self._holds.fan_outs.is_done:
            return
        self.is_due = False
        started_count = self._holds.fan_outs.started_count
        if self._rate:
            self._holds.pace(self._budget(), self._waiting_max)
        else:
            self._holds.fan_outs = FanOuts()
            self._holds.is_paced = False
        self._holds.fan_outs.started_count = started_count

    @property
    def _is_weighing(self) -> bool:
        return self._holds.receptions.block_bytes > 0

    def _budget(self) -> RateBudget:
        return RateBudget(self._rate or RATE_MAX, self._board)
