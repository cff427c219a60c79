"""Answers of several workers become one, and nobody waits for a worker that is gone."""

from gripproxy.bus import receipts as receipts_module
from gripproxy.bus.receipts import OPEN_MAX_S, Inquiry, ItemOutcome, Receipts, publish_record
from gripproxy.protocol.telemetry import PublishRecord, ReceiptRecord


class Desk:
    """Receipts with two workers on the bus, and what they say was published."""

    def __init__(self, *workers: int) -> None:
        self.workers = set(workers)
        self.receipts = Receipts(lambda: self.workers)
        self.published: list[Inquiry] = []
        self.receipts.on_published.append(self.published.append)

    def send(self, number: int, channel: str = "c") -> Inquiry:
        inquiry = self.receipts.inquire(channel, "7", "http")
        inquiry.on_sent(number)
        return inquiry

    def answer(self, worker_index: int, number: int, *counts: int) -> None:
        """Give receivers by kind, and how many of them got it, should not have it, lost it."""
        self.receipts.take(ReceiptRecord(worker_index, number, *(*counts, 0, 0, 0, 0, 0, 0)[:6]))


def test_answers_of_all_workers_are_added() -> None:
    """Each has clients of its own."""
    desk = Desk(0, 1)
    inquiry = desk.send(5)
    desk.answer(0, 5, 1, 2, 0, 2, 1, 0)
    assert (inquiry.outcome, desk.published) == (ItemOutcome.SENT, [])
    desk.answer(1, 5, 0, 3, 1, 3, 0, 1)
    assert (inquiry.outcome, desk.published) == (ItemOutcome.DONE, [inquiry])
    assert (inquiry.responses, inquiry.streams, inquiry.messages, inquiry.receivers) == (1, 5, 1, 7)
    assert (inquiry.delivered, inquiry.filtered, inquiry.dropped) == (5, 1, 1)
    assert len(desk.receipts) == 0


def test_answers_to_no_question_are_void() -> None:
    """Workers answer about every item while somebody looks, also about those from before."""
    desk = Desk(0, 1)
    inquiry = desk.send(5)
    desk.answer(0, 4, 1)
    desk.answer(2, 5, 1)
    desk.answer(0, 5, 1)
    desk.answer(0, 5, 1)
    assert (inquiry.responses, inquiry.outcome) == (1, ItemOutcome.SENT)


def test_worker_that_is_gone_is_not_waited_for() -> None:
    """What it had delivered nobody knows, and that is said."""
    desk = Desk(0, 1)
    first, second = desk.send(5), desk.send(6)
    desk.answer(0, 5, 0, 2)
    desk.receipts.on_worker_gone(1)
    assert (first.outcome, first.streams) == (ItemOutcome.UNKNOWN, 2)
    assert second.outcome is ItemOutcome.SENT
    desk.answer(0, 6, 0, 2)
    assert second.outcome is ItemOutcome.UNKNOWN
    assert desk.published == [first, second]


def test_without_workers_the_answer_is_known() -> None:
    """At a start, or when all of them have just died."""
    desk = Desk()
    assert desk.send(1).outcome is ItemOutcome.DONE
    assert desk.published[0].receivers == 0


def test_lost_answer_is_waited_for_only_so_long() -> None:
    """Telemetry may be dropped by a worker that has too much of it."""
    desk = Desk(0)
    inquiry = desk.send(1)
    desk.receipts.expire(inquiry.asked_at + OPEN_MAX_S - 1)
    assert inquiry.outcome is ItemOutcome.SENT
    desk.receipts.expire(inquiry.asked_at + OPEN_MAX_S)
    assert (inquiry.outcome, len(desk.receipts)) == (ItemOutcome.UNKNOWN, 0)


def test_open_questions_are_bounded() -> None:
    """A worker that never answers must not fill the hub's memory."""
    desk = Desk(0)
    inquiries = [desk.send(number) for number in range(receipts_module.OPEN_MAX_COUNT + 2)]
    assert len(desk.receipts) == receipts_module.OPEN_MAX_COUNT
    assert [inquiry.outcome for inquiry in inquiries[:3]] == [
        ItemOutcome.UNKNOWN,
        ItemOutcome.UNKNOWN,
        ItemOutcome.SENT,
    ]


def test_who_asked_is_told_of_the_end_once() -> None:
    """However it came."""
    desk = Desk(0)
    inquiry, told = desk.send(1), list[int]()
    inquiry.on_closed = lambda: told.append(1)
    desk.answer(0, 1)
    desk.answer(0, 1)
    duplicate = desk.receipts.inquire("c", "7", "http")
    duplicate.on_closed = lambda: told.append(2)
    duplicate.close(ItemOutcome.DUPLICATE)
    assert told == [1, 2]


def test_record_for_logs() -> None:
    """It says by which input the item came, and whom it found."""
    desk = Desk(0)
    inquiry = desk.send(1, "news")
    desk.answer(0, 1, 1, 2, 3)
    assert publish_record(inquiry, 9.5) == PublishRecord(9.5, "news", "7", "http", 1, 2, 3)
