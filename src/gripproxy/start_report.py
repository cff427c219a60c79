"""What gripproxy says about itself when it starts: who connects where, and how many clients that allows."""

import logging

from gripproxy import __version__
from gripproxy.fd_limit import allowed_connections, shortage_hint
from gripproxy.listen_address import convert_port, is_loopback_host
from gripproxy.settings import Settings

CERTIFICATES_SHOWN_COUNT = 20

Line = tuple[int, str]  # a level of `logging`, a text


def config_lines(settings: Settings, warnings: list[str]) -> list[Line]:
    """Say which version runs on which configuration, with what is doubtful in it."""
    used = f"using config: {settings.config_path}" if settings.config_path else "no configuration file: defaults"
    lines = [(logging.INFO, f"gripproxy {__version__}"), (logging.INFO, used)]
    return lines + [(logging.WARNING, warning) for warning in warnings]


def routes_lines(settings: Settings, routes_count: int, warnings: list[str]) -> list[Line]:
    """Say how many routes there are and where they come from, with what is doubtful in them."""
    source = f"from {settings.routesfile}" if settings.routesfile else "; ".join(settings.routes)
    lines = [(logging.WARNING, warning) for warning in warnings]
    return [*lines, (logging.INFO, f"routes loaded with {routes_count} entries ({source})")]


def certificate_lines(settings: Settings, names: list[str], problems: list[str]) -> list[Line]:
    """Say which certificates there are for the TLS ports. `problems`: pairs that cannot be used, and why.

    A missing one can still be added: it is looked for at every handshake.
    """
    if not settings.https_ports:
        return []
    directory = settings.certificates_directory()
    lines = [(logging.WARNING, f"certificate not used: {problem}") for problem in problems]
    shown = ", ".join(names[:CERTIFICATES_SHOWN_COUNT])
    shown += f" and {len(names) - CERTIFICATES_SHOWN_COUNT} more" if len(names) > CERTIFICATES_SHOWN_COUNT else ""
    if not names:
        lines.append((logging.WARNING, f"no certificates in {directory}: nobody can connect by https"))
    for address in settings.https_ports if names else ():
        default = f"default_{address.port}"
        text = f"certificates of https://{address}: {shown} (from {directory})"
        if default not in names:
            text += f"; without {default} it serves clients that ask for one of these names only"
        lines.append((logging.INFO, text))
    return lines


def address_lines(settings: Settings) -> list[Line]:
    """Say where clients and publishers connect, and who asks for commands and metrics."""
    texts = [f"clients: http://{address}" for address in settings.http_port]
    texts += [f"clients: https://{address}" for address in settings.https_ports]
    texts += [f"clients: {address}" for address in settings.local_ports]
    way = "connected to" if settings.push_in_sub_connect else "bound"
    if settings.push_in_spec:
        texts.append(f"publishers: {settings.push_in_spec} (ZeroMQ PULL)")
    texts += [f"publishers: {spec} (ZeroMQ SUB, {way})" for spec in settings.push_in_sub_specs]
    if settings.push_in_http_port is not None:
        host = settings.push_in_http_addr
        host = f"[{host}]" if ":" in host else host
        texts.append(f"publishers: http://{host}:{settings.push_in_http_port}/publish/")
    texts += [f"commands: {settings.command_spec} (ZeroMQ REP)"] if settings.command_spec else []
    texts += [f"statistics: {settings.stats_spec} (ZeroMQ PUB)"] if settings.stats_spec else []
    texts += [f"metrics: {settings.prometheus_port}"] if settings.prometheus_port else []
    return [(logging.INFO, text) for text in texts]


def exposure_lines(settings: Settings, curve_key: str | None = None) -> list[Line]:
    """Warn of each port that other machines may reach and that asks nobody who he is.

    Args:
        curve_key: the public key for publishers by ZeroMQ, if these need one.
    """
    lines = []
    if settings.push_in_http_port is not None and not (
        settings.push_in_http_key or is_loopback_host(settings.push_in_http_addr)
    ):
        name, advice = f"push_in_http_addr={settings.push_in_http_addr}", "set push_in_http_key"
        lines.append(_exposed(name, "publish", advice, "127.0.0.1"))
    if curve_key is not None:
        lines.append((logging.INFO, f"CURVE public key for publishers by ZeroMQ: {curve_key}"))
    if not settings.zmq_curve_secret_key:
        lines += [
            _exposed(f"{key}={spec}", "publish", "set zmq_curve_secret_key", "tcp://127.0.0.1:...")
            for key, spec in _bound_specs(settings)
            if not _is_local_spec(spec)
        ]
    firewall = "put a firewall before it"
    if settings.stats_spec and not _is_local_spec(settings.stats_spec):
        lines.append(_exposed(f"stats_spec={settings.stats_spec}", "read it", firewall, "ipc://..."))
    port = settings.prometheus_port
    if port and not port.startswith("ipc://") and not is_loopback_host(convert_port(port).host):
        lines.append(_exposed(f"prometheus_port={port}", "read it", firewall, "127.0.0.1:..."))
    return lines


def _bound_specs(settings: Settings) -> list[tuple[str, str]]:
    specs = [("push_in_spec", settings.push_in_spec), ("command_spec", settings.command_spec)]
    if settings.push_in_sub_specs and not settings.push_in_sub_connect:
        specs.append(("push_in_sub_specs", settings.push_in_sub_specs[0]))
    return [(key, spec) for key, spec in specs if spec]


def _is_local_spec(spec: str) -> bool:
    host = spec.removeprefix("tcp://").rpartition(":")[0]
    return not spec.startswith("tcp://") or is_loopback_host(host)


def _exposed(setting: str, what: str, advice: str, local: str) -> Line:
    text = f"{setting}: everybody who reaches this port may {what}, from other machines, too: {advice}, or use {local}"
    return logging.WARNING, text


def capacity_lines(settings: Settings, fd_limit: int) -> list[Line]:
    """Say how many clients fit, and what to change when that is less than the configuration promises."""
    allowed = min(allowed_connections(settings.workers, fd_limit), settings.client_maxconn)
    lines = [
        (logging.INFO, f"workers: {settings.workers}"),
        (logging.INFO, f"fd limit: {fd_limit} in each process; client connections: at most {allowed}"),
    ]
    if settings.message_rate > 0:  # Pushpin's own file limits it, and few know that
        text = f"items: at most {settings.message_rate} deliveries per second (message_rate)"
        if settings.message_hwm > 0:
            text += f"; past {settings.message_hwm} that wait in a worker, they are dropped (message_hwm)"
        lines.append((logging.INFO, text))
    hint = shortage_hint(settings.client_maxconn, settings.workers, fd_limit)
    # What somebody wrote down is a promise; the default of a run without a file is only an upper bound.
    return [*lines, (logging.WARNING if settings.config_path else logging.INFO, hint)] if hint else lines
