"""The lines that tell whoever starts gripproxy where to connect."""

import dataclasses
import logging

from gripproxy.settings import ListenAddress, LocalAddress, Settings
from gripproxy.start_report import (
    Line,
    address_lines,
    capacity_lines,
    certificate_lines,
    config_lines,
    exposure_lines,
    routes_lines,
)


def texts(lines: list[Line]) -> list[str]:
    return [text for _, text in lines]


def test_every_listener_and_publish_input_is_named() -> None:
    """These are what one pastes into a browser or a publisher's settings."""
    listeners = (ListenAddress(port=8000), ListenAddress(host="::1", port=8001))
    settings = Settings(http_port=listeners, prometheus_port="127.0.0.1:9000")
    assert texts(address_lines(settings)) == [
        "clients: http://0.0.0.0:8000",
        "clients: http://[::1]:8001",
        "publishers: tcp://127.0.0.1:5560 (ZeroMQ PULL)",
        "publishers: tcp://127.0.0.1:5562 (ZeroMQ SUB, bound)",
        "publishers: http://127.0.0.1:5561/publish/",
        "commands: tcp://127.0.0.1:5563 (ZeroMQ REP)",
        "metrics: 127.0.0.1:9000",
    ]


def test_inputs_that_are_off_are_not_named() -> None:
    """A line for a closed port would send publishers there."""
    settings = Settings(
        http_port=(), push_in_spec=None, push_in_sub_specs=(), push_in_http_port=None, command_spec=None
    )
    assert address_lines(settings) == []


def test_connected_sub_input_says_so() -> None:
    """It is the other side's port then."""
    settings = Settings(
        http_port=(), push_in_spec=None, push_in_http_port=None, push_in_sub_connect=True, command_spec=None
    )
    assert texts(address_lines(settings)) == ["publishers: tcp://127.0.0.1:5562 (ZeroMQ SUB, connected to)"]


def test_config_in_use_is_named_with_its_warnings() -> None:
    """Which file was read is the first question when a setting has no effect."""
    assert texts(config_lines(Settings(), []))[1:] == ["no configuration file: defaults"]
    lines = config_lines(Settings(config_path="/etc/x.conf"), ["/etc/x.conf:3: unknown key"])
    assert lines[1:] == [
        (logging.INFO, "using config: /etc/x.conf"),
        (logging.WARNING, "/etc/x.conf:3: unknown key"),
    ]


def test_routes_are_counted_after_their_warnings() -> None:
    """A line with a mistake is left out, and a count alone would not show it."""
    assert routes_lines(Settings(routesfile="/etc/routes"), 2, ["/etc/routes:1: no target"]) == [
        (logging.WARNING, "/etc/routes:1: no target"),
        (logging.INFO, "routes loaded with 2 entries (from /etc/routes)"),
    ]
    assert texts(routes_lines(Settings(), 1, [])) == ["routes loaded with 1 entries (* test)"]


def test_capacity_is_the_smaller_of_setting_and_descriptors() -> None:
    """A limit that cannot be reached comes with a hint."""
    enough = capacity_lines(Settings(workers=2, client_maxconn=1000), fd_limit=20_000)
    assert texts(enough) == ["workers: 2", "fd limit: 20000 in each process; client connections: at most 1000"]
    short = capacity_lines(Settings(workers=1, client_maxconn=1000, config_path="/etc/g.conf"), fd_limit=300)
    assert short[1] == (logging.INFO, "fd limit: 300 in each process; client connections: at most 150")
    limited = capacity_lines(Settings(workers=2, client_maxconn=1000, message_rate=2500), 20_000)
    assert texts(limited)[2:] == ["items: at most 2500 deliveries per second (message_rate)"]
    dropping = capacity_lines(Settings(workers=2, client_maxconn=1000, message_rate=2500, message_hwm=9), 20_000)
    assert texts(dropping)[2].startswith(texts(limited)[2] + "; past 9 that wait in a worker")
    assert short[2][0] == logging.WARNING
    by_default = capacity_lines(Settings(workers=1, client_maxconn=1000), fd_limit=300)
    assert by_default[2] == (logging.INFO, short[2][1])


def test_certificates_are_named_for_each_tls_port() -> None:
    """Whether a name is missing is seen at the start, not by the first visitor."""
    settings = Settings(config_path="/etc/g/g.conf", https_ports=(ListenAddress(port=443), ListenAddress(port=8443)))
    lines = certificate_lines(settings, ["a.test", "default_443"], ["/x.key: Permission denied"])
    assert lines == [
        (logging.WARNING, "certificate not used: /x.key: Permission denied"),
        (logging.INFO, "certificates of https://0.0.0.0:443: a.test, default_443 (from /etc/g/runner/certs)"),
        (
            logging.INFO,
            "certificates of https://0.0.0.0:8443: a.test, default_443 (from /etc/g/runner/certs); "
            "without default_8443 it serves clients that ask for one of these names only",
        ),
    ]
    many = [f"{number}.test" for number in range(25)]
    assert texts(certificate_lines(settings, many, []))[0].count(".test") == 20
    assert " and 5 more (from" in texts(certificate_lines(settings, many, []))[0]


def test_tls_port_without_certificates_is_a_warning() -> None:
    """They may come later, so it is no refusal."""
    settings = Settings(config_path="/etc/g/g.conf", https_ports=(ListenAddress(port=443),))
    text = "no certificates in /etc/g/runner/certs: nobody can connect by https"
    assert certificate_lines(settings, [], []) == [(logging.WARNING, text)]
    assert certificate_lines(Settings(), [], []) == []


def test_every_kind_of_listener_is_named() -> None:
    settings = Settings(
        http_port=(), https_ports=(ListenAddress(port=443),), local_ports=(LocalAddress(path="/run/x"),)
    )
    assert texts(address_lines(settings))[:2] == ["clients: https://0.0.0.0:443", "clients: unix:/run/x"]


def test_open_ports_without_a_key_are_warned_of() -> None:
    """Whoever reaches them publishes to everybody's clients."""
    settings = Settings(
        push_in_http_addr="0.0.0.0",
        push_in_spec="tcp://*:5560",
        push_in_sub_specs=("tcp://10.0.0.1:5562", "tcp://10.0.0.1:5563"),
        command_spec="tcp://[::]:5563",
        stats_spec="tcp://*:5570",
        prometheus_port="9090",
    )
    lines = exposure_lines(settings)
    assert {level for level, _ in lines} == {logging.WARNING}
    assert [text.partition(":")[0] for text in texts(lines)] == [
        "push_in_http_addr=0.0.0.0",
        "push_in_spec=tcp",
        "command_spec=tcp",
        "push_in_sub_specs=tcp",
        "stats_spec=tcp",
        "prometheus_port=9090",
    ]
    assert texts(lines)[0] == (
        "push_in_http_addr=0.0.0.0: everybody who reaches this port may publish, from other machines, too: "
        "set push_in_http_key, or use 127.0.0.1"
    )
    keyed = dataclasses.replace(
        settings, push_in_http_key="k", zmq_curve_secret_key="k", stats_spec=None, prometheus_port=None
    )
    assert exposure_lines(keyed) == []
    assert exposure_lines(keyed, "KEY") == [(logging.INFO, "CURVE public key for publishers by ZeroMQ: KEY")]


def test_ports_that_only_this_machine_reaches_are_not() -> None:
    """The shipped configuration starts without a warning; nor is a port warned of that is the other side's."""
    assert exposure_lines(Settings(prometheus_port="127.0.0.1:9090")) == []
    assert exposure_lines(Settings(push_in_spec="ipc:///run/x", prometheus_port="ipc:///run/y")) == []
    assert exposure_lines(Settings(push_in_sub_specs=("tcp://10.0.0.1:5562",), push_in_sub_connect=True)) == []
    off = Settings(push_in_http_addr="0.0.0.0", push_in_http_port=None, push_in_spec=None, command_spec=None)
    assert exposure_lines(off) == []
