"""``/healthz`` and ``/readyz``: for whatever restarts a service that hangs, and sends clients where they are served."""

import json
import time

from gripproxy.bus.control_answer import JSON_TYPE, NO_STORE, ControlAnswer
from gripproxy.bus.control_request import ControlRequest
from gripproxy.bus.control_routes import ControlRoutes
from gripproxy.bus.outlet import Outlet
from gripproxy.scoreboard import Field, ProcessState, Scoreboard

# Ten beats of a hub, and more than any turn of a loop that is merely busy takes. The supervisor kills after 20 s.
STALE_S = 5.0


class Health:
    """Looks at the scoreboard when it is asked, and costs nothing else."""

    def __init__(self, scoreboard: Scoreboard, outlet: Outlet) -> None:
        self._scoreboard = scoreboard
        self._outlet = outlet

    def register(self, routes: ControlRoutes) -> None:
        """Answer both paths, without a key: who asks is a machine, and learns no more than that."""
        routes.add(b"/healthz", self.healthz, is_public=True)
        routes.add(b"/readyz", self.readyz, is_public=True)

    def healthz(self, _: ControlRequest) -> ControlAnswer:
        """Say that the hub's loop turns; it would not answer otherwise."""
        return ControlAnswer(200, b"ok\n", extra=[NO_STORE])

    def readyz(self, _: ControlRequest) -> ControlAnswer:
        """Say whether clients and publishers are served: 200, or 503 and one reason a line."""
        faults = self.faults(time.monotonic())
        lines: list[dict[str, str]] | list[dict[str, bool]] = faults or [{"ready": True}]
        body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        return ControlAnswer(503 if faults else 200, body, JSON_TYPE, [NO_STORE])

    def faults(self, now: float) -> list[dict[str, str]]:
        """Give the reasons why this host is not ready, by process. `now`: monotonic seconds."""
        faults = []
        for index, row in enumerate(self._scoreboard.worker_rows()):
            state = ProcessState(row[Field.STATE])
            age_s = now - row[Field.HEARTBEAT_MS] / 1000
            if state is ProcessState.STOPPING:
                faults.append(_fault(f"worker-{index}", "draining"))
            elif state is not ProcessState.READY:
                faults.append(_fault(f"worker-{index}", f"does not serve: it is {state.name.lower()}"))
            elif age_s > STALE_S:
                faults.append(_fault(f"worker-{index}", f"hangs: its last sign of life is {age_s:.1f} s old"))
            elif row[Field.MEMORY_REFUSED]:
                faults.append(_fault(f"worker-{index}", "takes no new clients: memory is short"))
        if self._outlet.is_overfull:
            faults.append(_fault("hub", "takes no items: a worker is too busy, and too many wait for it"))
        return faults


def _fault(process: str, reason: str) -> dict[str, str]:
    return {"process": process, "reason": reason}
