"""When an item's fate is known."""

from gripproxy.protocol.receipt import Receipt


def test_receipt_is_done_when_each_receiver_is_accounted_for() -> None:
    """Not before its last fan-out is over: that may still find receivers."""
    receipt = Receipt(3)
    assert receipt.is_done
    receipt.open_count = 1
    assert not receipt.is_done
    receipt.open_count = 0
    receipt.streams, receipt.responses, receipt.messages = 1, 1, 1
    receipt.delivered, receipt.filtered = 1, 1
    assert not receipt.is_done
    receipt.dropped = 1
    assert receipt.is_done
