"""nginx in its three parts: the origin that answers for everyone, the plain proxy, and nchan."""

import os

from benchmarks.item_mark import ITEM_BYTES
from benchmarks.item_publisher import HttpPipePublisher, ItemPublisher
from benchmarks.servers.server import CONNECTIONS_MAX_COUNT, Server

LARGE_BYTES = 200_000
NCHAN_MODULE = "/usr/lib/nginx/modules/ngx_nchan_module.so"


class NginxServer(Server):
    """An nginx in the foreground with a configuration of its own; workers: one per CPU, as Debian ships it."""

    def server_block(self) -> str:
        """Give the locations."""
        raise NotImplementedError

    def http_block(self) -> str:
        """Give what stands beside the server block."""
        return ""

    def main_block(self) -> str:
        """Give what stands at the top."""
        return ""

    def command(self) -> list[str]:
        """Write nginx.conf."""
        user = "user root;" if os.geteuid() == 0 else ""  # its temporary directories are below ours
        places = "".join(
            f"{kind}_temp_path {self.directory}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        path = self.directory / "nginx.conf"
        path.write_text(f"""
{self.main_block()}
{user}
daemon off;
pid {self.directory}/nginx.pid;
error_log {self.directory}/error.log error;
worker_processes auto;
worker_rlimit_nofile {CONNECTIONS_MAX_COUNT + 2000};
events {{ worker_connections {CONNECTIONS_MAX_COUNT}; }}
http {{
access_log off;
keepalive_requests 100000000;
keepalive_timeout 600s;
{places}
{self.http_block()}
server {{
listen 127.0.0.1:{self.http_port} backlog=4096 reuseport;
location = /ready {{ return 200 "ready\\n"; }}
{self.server_block()}
}}
}}
""")
        return ["nginx", "-p", str(self.directory), "-e", str(self.directory / "error.log"), "-c", str(path)]

    def ready_path(self) -> str:
        """Answered by nginx itself."""
        return "/ready"


class Origin(NginxServer):
    """Answers ``/hold?c=CHANNEL`` with GRIP headers that hold, ``/plain`` with a text, ``/large`` with more."""

    name = "origin"

    def server_block(self) -> str:
        """Answer from the configuration, which is as little work as an origin can have."""
        (self.directory / "large").write_bytes(bytes(LARGE_BYTES))
        return (
            f"""
location = /large {{ root {self.directory}; }}
"""
            + """
location = /hold {
    default_type text/event-stream;
    add_header Grip-Hold stream always;
    add_header Grip-Channel $arg_c always;
    return 200 "event: open\\ndata: held\\n\\n";
}
location = /plain { default_type text/plain; return 200 "hello from the origin\\n"; }
"""
        )


class PlainNginx(NginxServer):
    """nginx as a reverse proxy: `proxy_pass` with kept-alive connections to the origin."""

    name = "nginx"
    has_origin = True

    def http_block(self) -> str:
        """Keep connections to the origin, as every proxy here does."""
        return f"upstream origin {{ server 127.0.0.1:{self.origin_port}; keepalive 256; }}"

    def server_block(self) -> str:
        """Pass everything on."""
        return """
location / {
    proxy_pass http://origin;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
}
"""

    def plain_path(self) -> str:
        """Answered by the origin."""
        return "/plain"


class NchanServer(NginxServer):
    """nginx with Debian's nchan module. It decides by itself what to hold: no origin is asked."""

    name = "nchan"

    def main_block(self) -> str:
        """Load the module."""
        return f"load_module {NCHAN_MODULE};"

    def http_block(self) -> str:
        """Give nchan room for a channel per connection."""
        return "nchan_shared_memory_size 512M;"

    def server_block(self) -> str:
        """Two locations to hold, one to publish."""
        return """
location = /socket { nchan_subscriber websocket; nchan_channel_id $arg_c; }
location = /hold { nchan_subscriber eventsource; nchan_channel_id $arg_c; }
location = /publish { nchan_publisher; nchan_channel_id $arg_c; }
"""

    @property
    def connections_max(self) -> int:
        """A worker is a process; there is one per core."""
        return CONNECTIONS_MAX_COUNT * (os.cpu_count() or 1)

    def hold_path(self) -> str:
        """Held by nchan itself."""
        return "/hold?c={}"

    def socket_path(self, is_over_http: bool) -> str:
        """Held by nchan itself, without an origin of either kind."""
        return "/socket?c={}"

    def publisher(self, channel_count: int, size_bytes: int = ITEM_BYTES, is_websocket: bool = False) -> ItemPublisher:
        """POST on one kept-alive connection."""
        return HttpPipePublisher(self.http_port, "/publish?c={}", channel_count, size_bytes)
