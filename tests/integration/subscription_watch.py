"""A publisher's view of the SUB input: which channels somebody holds, told by the subscriptions that are forwarded."""

import zmq

from tests.integration.deadline import wait_until


class SubscriptionWatch:
    """An XPUB socket connected to the SUB input; `channels` is what is subscribed to now."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", sub_port: int) -> None:
        self.channels: set[bytes] = set()
        self.socket = context.socket(zmq.XPUB)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RCVHWM, 0)
        self.socket.connect(f"tcp://127.0.0.1:{sub_port}")

    def poll(self) -> set[bytes]:
        """Take the notices that have come and give the channels subscribed to."""
        while self.socket.poll(0):
            notice = self.socket.recv()
            (self.channels.add if notice[:1] == b"\x01" else self.channels.discard)(notice[1:])
        return self.channels

    def wait_for(self, channel: str, timeout_s: float = 10.0) -> None:
        """Wait until somebody is subscribed to the channel."""
        wait_until(lambda: channel.encode() in self.poll(), f"a subscription to {channel!r}", timeout_s)

    def wait_for_end(self, channel: str, timeout_s: float = 10.0) -> None:
        """Wait until nobody is subscribed to the channel."""
        wait_until(lambda: channel.encode() not in self.poll(), f"the end of {channel!r}", timeout_s)

    def wait_for_count(self, count: int, timeout_s: float = 10.0) -> None:
        """Wait until exactly `count` channels are subscribed to."""
        try:
            wait_until(lambda: len(self.poll()) == count, f"{count} channels subscribed to", timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; there are {len(self.channels)}") from None

    def close(self) -> None:
        """Leave."""
        self.socket.close()
