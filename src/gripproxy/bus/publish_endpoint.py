"""What the control port does for publishers: decides by `control_answer`, and acts."""

from collections.abc import Callable

from gripproxy.bus.control_answer import BUSY, ControlAnswer, decide
from gripproxy.bus.control_request import ControlRequest
from gripproxy.bus.item_intake import ItemIntake
from gripproxy.bus.outlet import Outlet
from gripproxy.scoreboard import Field


class PublishEndpoint:
    """Answers ``/``, ``/publish`` and ``/recover``, and says what there is not."""

    def __init__(self, outlet: Outlet, intake: ItemIntake, recover: Callable[[], None]) -> None:
        self._outlet = outlet
        self._intake = intake
        self._recover = recover

    def respond(self, request: ControlRequest) -> ControlAnswer:
        """Publish the request's items, or recover. All items of a request are taken, or none."""
        decision = decide(request)
        if decision.is_refused_publish:
            self._intake.count_refused(Field.ITEMS_HTTP)
        elif decision.items:
            if self._outlet.is_overfull:
                self._intake.count_turned_away(len(decision.items))
                return BUSY
            self._intake.accept(decision.items, Field.ITEMS_HTTP)
        elif decision.is_recover:
            self._recover()
        return decision.answer
