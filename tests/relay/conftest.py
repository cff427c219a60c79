"""The loop that the relay's tests run on."""

from tests.bus.conftest import bench

__all__ = ["bench"]
