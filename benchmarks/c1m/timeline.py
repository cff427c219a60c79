"""What is drawn: samples once a second, plain requests, and the phases they belong to."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at everything; `at_s` counts from the start of the run, memory is what the run has added."""

    at_s: float
    connections: int
    user_bytes: int
    kernel_bytes: int


@dataclass(frozen=True, slots=True)
class Phase:
    """A named part of the run."""

    name: str
    start_s: float
    end_s: float


@dataclass(slots=True)
class Timeline:
    """All of it; `plain_requests` are pairs of seconds: when, and how long (None: it failed)."""

    samples: list[Sample] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)
    plain_requests: list[tuple[float, float | None]] = field(default_factory=list)

    def encode(self) -> dict[str, Any]:
        """Give columns of numbers, rounded to what can be seen, for JSON."""
        return {
            "phases": [[phase.name, round(phase.start_s, 1), round(phase.end_s, 1)] for phase in self.phases],
            "at_s": [round(sample.at_s, 1) for sample in self.samples],
            "connections": [sample.connections for sample in self.samples],
            "user_mib": [round(sample.user_bytes / (1 << 20), 1) for sample in self.samples],
            "kernel_mib": [round(sample.kernel_bytes / (1 << 20), 1) for sample in self.samples],
            "plain_at_s": [round(at_s, 1) for at_s, _ in self.plain_requests],
            "plain_ms": [None if taken_s is None else round(taken_s * 1000, 2) for _, taken_s in self.plain_requests],
        }


def decode_timeline(data: dict[str, Any]) -> Timeline:
    """Take the columns apart again."""
    columns = zip(data["at_s"], data["connections"], data["user_mib"], data["kernel_mib"], strict=True)
    samples = [Sample(at, count, int(user * (1 << 20)), int(kernel * (1 << 20))) for at, count, user, kernel in columns]
    requests = [
        (at_s, None if taken_ms is None else taken_ms / 1000)
        for at_s, taken_ms in zip(data["plain_at_s"], data["plain_ms"], strict=True)
    ]
    return Timeline(samples, [Phase(*phase) for phase in data["phases"]], requests)
