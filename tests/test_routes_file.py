"""Where routes come from, at start and on a reload."""

import datetime
from pathlib import Path

import pytest

from gripproxy.errors import ConfigError
from gripproxy.protocol.route import decode_route
from gripproxy.routes_file import (
    decode_routes,
    keep_routes,
    read_kept_routes,
    read_routes,
    read_routes_text,
    read_running_routes,
    settled_route,
)
from gripproxy.settings import Settings


def test_lines_of_the_command_line_count_without_a_file() -> None:
    """Warnings number them."""
    table, warnings = read_routes(Settings(routes=("* a:1", "b")))
    assert table.count == 1
    assert warnings == ["<route>:2: must specify condition and at least one target"]


def test_file_is_read_with_its_byte_order_mark_and_line_ends(tmp_path: Path) -> None:
    """Editors of other systems write both."""
    path = tmp_path / "routes"
    path.write_bytes(b"\xef\xbb\xbf* a:1\r\nb a:x\r\n")
    table, warnings = read_routes(Settings(routesfile=str(path)))
    assert [route.domain for route in table.routes] == ["*"]
    assert warnings == [f"{path}:2: target invalid port: 'a:x' is not HOST:PORT with a port from 1 to 65535"]


def test_missing_file_at_start_is_a_warning(tmp_path: Path) -> None:
    """The proxy starts without routes, as the reference does, and a reload may find them."""
    table, warnings = read_routes(Settings(routesfile=str(tmp_path / "routes")))
    assert table.count == 0
    assert warnings == [f"unable to open routes file: {tmp_path}/routes (No such file or directory)"]


def test_unreadable_file_is_an_error_for_who_has_routes_already(tmp_path: Path) -> None:
    """The caller keeps the routes there are."""
    with pytest.raises(ConfigError, match="unable to open routes file"):
        read_routes_text(Settings(routesfile=str(tmp_path)))
    path = tmp_path / "routes"
    path.write_bytes(b"* a:1 # \xff")
    with pytest.raises(ConfigError, match="it is not UTF-8"):
        read_routes_text(Settings(routesfile=str(path)))


def test_device_without_an_end_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"unable to open routes file: /dev/zero \(more than 67108864 characters\)"):
        read_routes_text(Settings(routesfile="/dev/zero"))


def test_workers_follow_what_was_kept(tmp_path: Path) -> None:
    """One takes the place of another that had these routes: a file that is bad now costs nobody anything."""
    path = tmp_path / "routes"
    settings = Settings(routesfile=str(path), rundir=str(tmp_path))
    path.write_text("* \u00e9:1\n")
    read_routes(settings, is_keeper=True)
    (kept_path,) = tmp_path.glob("*kept")
    assert kept_path.stat().st_mode & 0o777 == 0o600  # it may hold keys
    path.write_bytes(b"\xff")
    assert [route.targets[0].host for route in read_running_routes(settings).routes] == ["\u00e9"]
    assert read_routes(settings)[1] == [f"unable to open routes file: {path} (it is not UTF-8)"]
    keep_routes(settings, "* b:1\n")
    assert decode_routes(settings, read_kept_routes(settings) or "")[0].routes[0].targets[0].host == "b"
    path.write_text("* c:1\n")
    assert read_running_routes(settings).routes[0].targets[0].host == "b"  # until the file has been read for all
    keep_routes(settings, None)
    assert read_running_routes(settings).routes[0].targets[0].host == "c"


def test_file_without_any_route_replaces_none(tmp_path: Path) -> None:
    """Whatever it is, it was not meant as routes. An empty one may be meant."""
    path = tmp_path / "routes"
    settings = Settings(routesfile=str(path), rundir=str(tmp_path))
    path.write_text('{\n"routes": []\n}\n')
    refusal = f"{path}:1: must specify condition and at least one target"
    with pytest.raises(ConfigError) as refused:
        decode_routes(settings, path.read_text())
    assert str(refused.value) == f"no line is a route: {refusal}"
    table, warnings = read_routes(settings)
    assert (table.count, warnings[0]) == (0, refusal)
    assert decode_routes(settings, "# none\n\n")[0].count == 0
    assert decode_routes(settings, "x\n* a:1\n")[0].count == 1


def test_what_another_run_has_kept_is_forgotten(tmp_path: Path) -> None:
    """It may be a year old, and of another file."""
    settings = Settings(routesfile=str(tmp_path / "routes"), rundir=str(tmp_path))
    keep_routes(settings, "* a:1\n")
    assert read_routes(settings, is_keeper=True)[0].count == 0
    assert read_kept_routes(settings) is None
    assert list(tmp_path.iterdir()) == []


def write_certificate(directory: Path) -> None:
    """Write a certificate and its key, and another key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    for key, name in zip(keys, ("key.pem", "other.pem"), strict=True):
        (directory / name).write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
    locked = keys[0].private_bytes(pem, form, serialization.BestAvailableEncryption(b"secret"))
    (directory / "locked.pem").write_bytes(locked)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "proxy")])
    begin, end = datetime.datetime(2020, 1, 1), datetime.datetime(2050, 1, 1)
    builder = x509.CertificateBuilder(name, name, keys[0].public_key(), 1, begin, end)
    (directory / "cert.pem").write_bytes(builder.sign(keys[0], hashes.SHA256()).public_bytes(pem))


def test_certificates_for_origins_are_found_beside_the_routes_file(tmp_path: Path) -> None:
    """The worker gets paths that do not depend on where it runs."""
    write_certificate(tmp_path)
    path = tmp_path / "routes"
    path.write_text("* a:1,ssl,client_cert=cert.pem,client_key=key.pem b:1 c:1,ssl\n")
    table, warnings = read_routes(Settings(routesfile=str(path)))
    assert warnings == []
    shown = [(target.client_cert, target.client_key) for target in table.routes[0].targets]
    assert shown == [(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")), (None, None), (None, None)]


def test_route_of_another_process_is_finished_as_far_as_possible(tmp_path: Path) -> None:
    """Its holds ask its origins, whatever has become of the certificates."""
    write_certificate(tmp_path)
    path = tmp_path / "routes"
    lines = ["* a:1,ssl,client_cert=cert.pem,client_key=key.pem", "b a:1,client_cert=none.pem"]
    path.write_text("\n".join(lines))
    settings = Settings(routesfile=str(path))
    good, lost = [decoded[0] for line in lines if (decoded := decode_route(line)) is not None]
    assert settled_route(settings, good) == read_routes(settings)[0].routes[0]
    assert settled_route(settings, lost) is lost


@pytest.mark.parametrize(
    ("certificate", "key", "text"),
    [
        ("missing.pem", "key.pem", "failed to open {}/missing.pem: No such file or directory"),
        ("cert.pem", "missing.pem", "failed to open {}/missing.pem: No such file or directory"),
        ("cert.pem", "other.pem", "failed to read {}/cert.pem or its key: KEY_VALUES_MISMATCH"),
        ("cert.pem", "", "failed to read {}/cert.pem or its key: "),
        ("cert.pem", "locked.pem", "failed to read {}/cert.pem or its key: "),
        ("key.pem", "key.pem", "failed to read {}/key.pem or its key: "),
    ],
)
def test_route_with_a_certificate_that_cannot_be_shown_is_skipped(
    tmp_path: Path, certificate: str, key: str, text: str
) -> None:
    """Its origin would refuse every connection; the other routes load. Nobody is asked for a password."""
    write_certificate(tmp_path)
    path = tmp_path / "routes"
    path.write_text(f"* a:1,ssl,client_cert={certificate},client_key={key}\nb a:1\n")
    table, warnings = read_routes(Settings(routesfile=str(path)))
    assert [route.domain for route in table.routes] == ["b"]
    assert len(warnings) == 1
    assert warnings[0].startswith(f"{path}:1: {text.format(tmp_path)}")
