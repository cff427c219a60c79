"""GRIP as an extension of the `websockets` library's servers, which takes the proxy's offer."""

from collections.abc import Sequence

from websockets.extensions import Extension, ServerExtensionFactory
from websockets.frames import Frame
from websockets.typing import ExtensionName, ExtensionParameter


class Grip(Extension):
    """The extension changes no frames: what a message is for is said by its prefix."""

    name = ExtensionName("grip")

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        return frame

    def encode(self, frame: Frame) -> Frame:
        return frame


class GripFactory(ServerExtensionFactory):
    """Takes the offer."""

    name = ExtensionName("grip")

    def process_request_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> tuple[list[ExtensionParameter], Extension]:
        del params, accepted_extensions
        return [], Grip()
