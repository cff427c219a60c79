"""Certificates by name: which one is taken, when it is read again, and what is said about a bad one."""

import contextlib
import logging
import os
import pty
import ssl
import sys
from pathlib import Path

import pytest

from gripproxy_worker import certificates
from gripproxy_worker.certificates import (
    CertificateStore,
    candidates,
    hush_odd_names,
    is_valid_name,
    load_pair,
)
from gripproxy_worker.tls import TlsStreams
from tests.certificates import common_name, make_pair
from tests.worker.tls_peer import TlsPeer


def offered(store: CertificateStore, server_name: str | None, port: int = 443) -> str | None:
    """Do a handshake with a listener's context; give the name in the certificate, None for a fatal alert."""
    context = certificates.new_context()
    store.serve(context, port)
    streams, peer = TlsStreams(), TlsPeer(server_name)
    streams.begin(5, context)
    data = peer.hello()
    try:
        while streams.shake_hands(5, data) is None:
            peer.take(streams.take_output())
            data = peer.outgoing()
    except ssl.SSLError:
        with pytest.raises(ssl.SSLError, match="unrecognized name"):
            peer.take(streams.take_output())
        return None
    certificate = peer.stream.getpeercert(binary_form=True)
    assert certificate is not None
    return common_name(certificate)


def touch(path: Path) -> None:
    """Make a file look changed, however coarse the clock of the file system is."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000_000))


@pytest.mark.parametrize(
    ("server_name", "names"),
    [
        ("www.example.com", ["www.example.com", "_.example.com", "default_443"]),
        ("WWW.Example.COM", ["www.example.com", "_.example.com", "default_443"]),
        ("localhost", ["localhost", "default_443"]),
        (None, ["default_443"]),
    ],
)
def test_names_are_looked_for_in_the_order_of_the_reference(server_name: str | None, names: list[str]) -> None:
    """One level only: a certificate for *.example.com is none for a.b.example.com."""
    assert candidates(server_name, 443) == names


def test_most_special_certificate_is_taken(tmp_path: Path) -> None:
    for name in ("a.test", "_.test", "default_443"):
        make_pair(tmp_path, name)
    store = CertificateStore(str(tmp_path))
    assert offered(store, "a.test") == "a.test"
    assert offered(store, "A.TEST") == "a.test"
    assert offered(store, "b.test") == "_.test"
    assert offered(store, "b.b.test") == "default_443"
    assert offered(store, None) == "default_443"
    assert offered(store, "b.b.test", port=8443) is None, "the default is of one port"
    assert offered(store, None, port=8443) is None


@pytest.mark.parametrize("name", ["", "a/b", "../x", "a\nb", "a\x7f", "x" * 254])
def test_name_that_is_none_is_refused(name: str) -> None:
    """It becomes the name of a file."""
    assert not is_valid_name(name)
    assert is_valid_name("x" * 253)


def test_client_that_asks_for_a_path_gets_no_certificate(tmp_path: Path) -> None:
    make_pair(tmp_path, "default_443")
    make_pair(tmp_path / "sub", "a")
    assert offered(CertificateStore(str(tmp_path)), "sub/a") is None


def test_changed_pair_is_read_again(tmp_path: Path) -> None:
    """Who renews certificates need not know of gripproxy."""
    path = make_pair(tmp_path, "a.test", "old")
    store = CertificateStore(str(tmp_path))
    assert offered(store, "a.test") == "old"
    make_pair(tmp_path, "a.test", "new")
    touch(path)
    assert offered(store, "a.test") == "new"


def test_pair_that_nobody_asked_for_meanwhile_is_kept_too(tmp_path: Path) -> None:
    """Else a worker without clients would go back to an older one than its siblings when the newest is bad."""
    path = make_pair(tmp_path, "a.test", "old")
    store = CertificateStore(str(tmp_path))
    assert offered(store, "a.test") == "old"
    make_pair(tmp_path, "a.test", "new")
    touch(path)
    store.refresh()
    path.write_bytes(b"rubbish")
    touch(path)
    assert offered(store, "a.test") == "new"


def test_unchanged_pair_is_read_once(tmp_path: Path) -> None:
    """Reading one costs as much as a handshake."""
    make_pair(tmp_path, "a.test")
    store = CertificateStore(str(tmp_path))
    assert store.find("a.test", 443) is store.find("a.test", 443)


def test_bad_new_pair_leaves_the_old_one_in_use(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Half of a renewal: the certificate is new, the key not yet. It is said once."""
    make_pair(tmp_path, "a.test", "old")
    store = CertificateStore(str(tmp_path))
    assert offered(store, "a.test") == "old"
    new = make_pair(tmp_path / "elsewhere", "a.test", "new")
    (tmp_path / "a.test.crt").write_bytes(new.read_bytes())
    touch(tmp_path / "a.test.crt")
    assert [offered(store, "a.test") for _ in range(3)] == ["old"] * 3
    assert caplog.text.count("certificate not reloaded, the old one stays: ") == 1
    assert f"{tmp_path}/a.test.key: is not the key of the certificate {tmp_path}/a.test.crt" in caplog.text
    (tmp_path / "a.test.key").write_bytes(new.with_suffix(".key").read_bytes())
    touch(tmp_path / "a.test.key")
    with caplog.at_level(logging.INFO):
        assert offered(store, "a.test") == "new"
    assert "certificate a.test read again" in caplog.text


def test_bad_pair_that_was_never_good_makes_room_for_the_next_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_pair(tmp_path, "_.test")
    make_pair(tmp_path, "a.test").write_text("no certificate")
    store = CertificateStore(str(tmp_path))
    assert [offered(store, "a.test") for _ in range(2)] == ["_.test"] * 2
    assert caplog.text.count("certificate not used: ") == 1


def test_removed_pair_is_not_served(tmp_path: Path) -> None:
    path = make_pair(tmp_path, "a.test")
    store = CertificateStore(str(tmp_path))
    assert offered(store, "a.test") == "a.test"
    path.unlink()
    path.with_suffix(".key").unlink()
    assert offered(store, "a.test") is None


def test_kept_pairs_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hosting machine has a hundred thousand, and clients ask for all of them."""
    monkeypatch.setattr(certificates, "PAIRS_MAX_COUNT", 2)
    for name in "abc":
        make_pair(tmp_path, name)
    store = CertificateStore(str(tmp_path))
    for name in "abcab":
        assert offered(store, name) == name
    assert len(store._pairs) == 2
    offered(store, "nobody")
    assert len(store._pairs) == 2


def test_fault_names_the_file(tmp_path: Path) -> None:
    """There may be hundreds."""
    path = make_pair(tmp_path, "a")
    path.with_suffix(".key").unlink()
    with pytest.raises(ValueError, match=rf"{tmp_path}/a\.key: No such file"):
        load_pair(str(tmp_path), "a")
    path.with_suffix(".key").write_text("x")
    with pytest.raises(ValueError, match=rf"{tmp_path}/a\.crt and {tmp_path}/a\.key: not a PEM"):
        load_pair(str(tmp_path), "a")


def test_key_with_a_password_asks_nobody(tmp_path: Path) -> None:
    """OpenSSL would ask on the terminal, and stop everything until somebody answers."""
    path = make_pair(tmp_path, "a", password=b"secret")
    pid, terminal = pty.fork()
    if pid == 0:
        try:
            load_pair(str(tmp_path), "a")
        except ValueError as error:
            os.write(1, str(error).encode())
        finally:
            os._exit(0)
    said = b""
    with contextlib.suppress(OSError):  # how a terminal says that nobody is left
        while data := os.read(terminal, 1000):
            said += data
            assert b"pass phrase" not in said
    os.close(terminal)
    os.waitpid(pid, 0)
    assert b"without password" in said and str(path).encode() in said


def test_start_tells_good_pairs_from_bad_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_pair(tmp_path, "good")
    make_pair(tmp_path, "broken").write_text("x")
    (tmp_path / "alone.key").write_text("x")
    (tmp_path / "README").write_text("x")
    names, problems = CertificateStore(str(tmp_path)).load_all()
    assert names == ["good"]
    assert [problem.split(":")[0].split("/")[-1] for problem in problems] == ["alone.crt", "broken.key"]
    assert CertificateStore(str(tmp_path / "none")).load_all() == ([], [])
    monkeypatch.setattr(certificates, "LOADED_MAX_COUNT", 0)
    assert CertificateStore(str(tmp_path)).load_all() == (["alone", "broken", "good"], [])


def test_pair_of_the_start_serves_while_the_new_one_is_bad(tmp_path: Path) -> None:
    """In a worker, too, that nobody has asked for it yet."""
    path = make_pair(tmp_path, "a.test")
    store = CertificateStore(str(tmp_path))
    store.load_all()
    path.write_text("half of it")
    touch(path)
    assert offered(store, "a.test") == "a.test"


def test_context_offers_what_browsers_need_and_no_more() -> None:
    """Mozilla's intermediate list: forward secrecy and authenticated encryption only."""
    context = certificates.new_context()
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    old = [cipher for cipher in context.get_ciphers() if cipher["protocol"] != "TLSv1.3"]
    assert len(old) == 6 and all(cipher["aead"] and "ECDHE" in str(cipher["name"]) for cipher in old)
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert not context.options & ssl.OP_CIPHER_SERVER_PREFERENCE


def test_name_that_is_no_text_is_refused_without_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python would print a traceback for each, and anybody can send them."""
    shown: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", shown.append)
    hush_odd_names()
    make_pair(tmp_path, "a.test")
    context = certificates.new_context()
    CertificateStore(str(tmp_path)).serve(context, 443)
    streams = TlsStreams()
    streams.begin(5, context)
    with pytest.raises(ssl.SSLError):
        streams.shake_hands(5, TlsPeer("a.test").hello().replace(b"a.test", b"\xff\xfe.est"))
    assert streams.take_output() and not shown

    class Faulty:
        def __del__(self) -> None:
            raise ValueError("is shown")

    Faulty()
    assert len(shown) == 1
