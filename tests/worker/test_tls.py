"""Records in memory: nothing of one connection gets into another, although all share two buffers."""

import ssl

import pytest

from gripproxy_worker.tls import RECORD_MAX_BYTES, TlsStreams
from tests.worker.tls_peer import TlsPeer, server_context

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def shake_hands(streams: TlsStreams, fd: int, peer: TlsPeer) -> None:
    streams.begin(fd, server_context())
    data = peer.hello()
    for _ in range(4):
        early = streams.shake_hands(fd, data)
        peer.take(streams.take_output())
        if early is not None:
            return
        data = peer.outgoing()
    raise AssertionError("no handshake")


@pytest.fixture
def streams() -> TlsStreams:
    return TlsStreams()


@pytest.mark.parametrize("version", VERSIONS)
def test_content_goes_both_ways(streams: TlsStreams, version: ssl.TLSVersion) -> None:
    peer = TlsPeer(version=version)
    shake_hands(streams, 5, peer)
    assert streams.decrypt(5, peer.encrypt(b"GET / HTTP/1.1\r\n\r\n")) == b"GET / HTTP/1.1\r\n\r\n"
    peer.take(streams.encrypt(5, b"hello"))
    assert peer.received == b"hello"


def test_large_content_takes_several_records(streams: TlsStreams) -> None:
    """OpenSSL writes one record and says how far it came."""
    peer = TlsPeer()
    shake_hands(streams, 5, peer)
    payload = bytes(range(256)) * 1000
    encrypted = streams.encrypt(5, payload)
    assert len(encrypted) > len(payload) + (len(payload) // RECORD_MAX_BYTES) * 5
    peer.take(encrypted)
    assert peer.received == payload


def test_record_that_comes_in_parts_waits(streams: TlsStreams) -> None:
    """Others are served meanwhile, through the same buffers."""
    first, second = TlsPeer(), TlsPeer()
    shake_hands(streams, 5, first)
    shake_hands(streams, 6, second)
    record = first.encrypt(b"in parts")
    for byte in record[:-1]:
        assert streams.decrypt(5, bytes([byte])) == b""
        assert streams.decrypt(6, second.encrypt(b"whole")) == b"whole"
    assert streams.decrypt(5, record[-1:]) == b"in parts"


def test_handshakes_that_go_on_together_do_not_mix(streams: TlsStreams) -> None:
    """Each is in OpenSSL's hands between two of its messages."""
    peers = {fd: TlsPeer() for fd in range(10)}
    waiting = {}
    for fd, peer in peers.items():
        streams.begin(fd, server_context())
        waiting[fd] = peer.hello()
    for position in range(max(map(len, waiting.values()))):
        for fd, data in waiting.items():
            streams.shake_hands(fd, data[position : position + 1])
            peers[fd].take(streams.take_output())
    for fd, peer in peers.items():
        assert streams.shake_hands(fd, peer.outgoing() + peer.encrypt(b"%d" % fd)) == b"%d" % fd
        streams.take_output()


@pytest.mark.parametrize("is_shaken", [False, True])
def test_garbage_of_one_client_does_not_reach_another(streams: TlsStreams, is_shaken: bool) -> None:
    """What OpenSSL left of it in the shared buffer would be the next client's first bytes."""
    bad, good = TlsPeer(), TlsPeer()
    shake_hands(streams, 6, good)
    if is_shaken:
        shake_hands(streams, 5, bad)
        assert streams.decrypt(5, b"\x17\x03\x03\x00\x20" + b"x" * 1000) == b""
        assert 5 in streams.ended
        assert streams.take_output(), "an alert"
        with pytest.raises(ssl.SSLError):
            streams.encrypt(5, b"too late")
    else:
        streams.begin(5, server_context())
        with pytest.raises(ssl.SSLError):
            streams.shake_hands(5, b"\x16\x03\x01\x00\x20" + b"x" * 1000)
        assert streams.take_output(), "an alert"
    assert streams.decrypt(6, good.encrypt(b"good")) == b"good"
    good.take(streams.encrypt(6, b"answer"))
    assert good.received == b"answer"


@pytest.mark.parametrize("version", VERSIONS)
def test_end_that_is_said_is_told_from_one_that_is_not(streams: TlsStreams, version: ssl.TLSVersion) -> None:
    """Content before it counts; content after it does not exist."""
    peer = TlsPeer(version=version)
    shake_hands(streams, 5, peer)
    assert streams.decrypt(5, peer.encrypt(b"last") + peer.end()) == b"last"
    assert streams.ended == {5}
    streams.forget(5)
    assert streams == {} and streams.ended == set()


@pytest.mark.parametrize("version", VERSIONS)
def test_client_is_told_the_end(streams: TlsStreams, version: ssl.TLSVersion) -> None:
    """Otherwise it could not tell a whole answer from one that an attacker cut off."""
    peer = TlsPeer(version=version)
    shake_hands(streams, 5, peer)
    peer.take(streams.encrypt(5, b"bye") + streams.encrypt_end(5))
    assert peer.received == b"bye" and peer.has_heard_end
    assert streams.decrypt(5, peer.encrypt(b"still talking")) == b"still talking"
    with pytest.raises(ssl.SSLError):
        streams.encrypt(5, b"more")
    assert streams.encrypt_end(5) == b"", "once is enough"
