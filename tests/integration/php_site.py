"""A real PHP site for the walkthrough: nginx and php-fpm on a port of their own, apart from the system's services."""

import os
import shutil
from pathlib import Path

from tests.integration.deadline import wait_until
from tests.integration.ports import can_connect, free_ports
from tests.integration.process import Process

STREAM_PHP = r"""<?php
if (!isset($_GET['topic']) || $_GET['topic'] === '') {
    header('Content-Type: text/plain');
    echo "missing parameter: topic\n";
    exit;
}
header('Content-Type: text/event-stream');
header('Grip-Hold: stream');
header('Grip-Channel: ' . $_GET['topic']);
header('Grip-Keep-Alive: :\n\n; format=cstring; timeout=55');
echo "event: message\ndata: stream open\n\n";
"""

INDEX_PHP = r"""<?php
header('Content-Type: text/plain');
echo "hello from php\n";
"""

ECHO_PHP = r"""<?php
// A WebSocket without any library: events in, events out.
header('Content-Type: application/websocket-events');
header('Sec-WebSocket-Extensions: grip');
$body = file_get_contents('php://input');
for ($at = 0; $at < strlen($body);) {
    $end = strpos($body, "\r\n", $at);
    [$type, $size] = explode(' ', substr($body, $at, $end - $at)) + [1 => null];
    $content = $size === null ? '' : substr($body, $end + 2, hexdec($size));
    $at = $end + 2 + ($size === null ? 0 : strlen($content) + 2);
    if ($type === 'OPEN') {
        $subscribe = 'c:' . json_encode(['type' => 'subscribe', 'channel' => $_GET['topic']]);
        printf("OPEN\r\nTEXT %x\r\n%s\r\n", strlen($subscribe), $subscribe);
    } elseif ($type === 'TEXT' || $type === 'BINARY') {
        printf("%s %x\r\nm:%s\r\n", $type, strlen($content) + 2, $content);
    } elseif ($type === 'CLOSE') {
        printf("CLOSE %x\r\n%s\r\n", strlen($content), $content);
    }
}
"""

NGINX_CONF = """daemon off;
pid {dir}/nginx.pid;
error_log {dir}/nginx-error.log;
{user}
worker_processes 1;
worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {dir}/body;
    fastcgi_temp_path {dir}/fastcgi;
    proxy_temp_path {dir}/proxy;
    scgi_temp_path {dir}/scgi;
    uwsgi_temp_path {dir}/uwsgi;
    keepalive_requests 1000000;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        listen [::1]:{port} backlog=4096;
        root {dir}/www;
        index index.php;
        location ~ \\.php$ {{
            include /etc/nginx/fastcgi_params;
            fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
            fastcgi_pass unix:{dir}/fpm.sock;
        }}
        location /hold {{
            default_type text/event-stream;
            add_header Grip-Hold stream;
            add_header Grip-Channel $arg_channel;
            return 200 "open\\n";
        }}
    }}
}}
"""

FPM_CONF = """[global]
pid = {dir}/fpm.pid
error_log = {dir}/fpm-error.log
daemonize = no
[site]
user = {fpm_user}
group = {fpm_user}
listen = {dir}/fpm.sock
listen.mode = 0666
pm = static
pm.max_children = 2
"""


def find_php_fpm() -> str | None:
    """Find a php-fpm program; Debian's name carries the PHP version."""
    for folder in (Path("/usr/sbin"), Path("/usr/local/sbin")):
        for path in sorted(folder.glob("php-fpm*"), reverse=True):
            return str(path)
    return None


class PhpSite:
    """``/``, ``/stream.php`` and the WebSocket ``/echo.php`` by PHP, and for load a stream that nginx holds by itself.

    That is ``/hold?channel=C``.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (self.port,) = free_ports(1)
        self._processes: list[Process] = []

    def start(self) -> None:
        """Write the site and its two servers' configurations, and start them."""
        www = self.directory / "www"
        www.mkdir(parents=True)
        (www / "stream.php").write_text(STREAM_PHP)
        (www / "index.php").write_text(INDEX_PHP)
        (www / "echo.php").write_text(ECHO_PHP)
        is_root = os.getuid() == 0
        values = {
            "dir": self.directory,
            "port": self.port,
            "fpm_user": "www-data",
            "user": "user root;" if is_root else "",
        }
        nginx_conf, fpm_conf = self.directory / "nginx.conf", self.directory / "fpm.conf"
        nginx_conf.write_text(NGINX_CONF.format(**values))
        fpm_conf.write_text(FPM_CONF.format(**values))
        for folder in (self.directory, www):
            folder.chmod(0o755)
        fpm = find_php_fpm()
        assert fpm is not None
        self._start("php-fpm", [fpm, "--nodaemonize", "--fpm-config", str(fpm_conf)])
        nginx = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:" + os.environ["PATH"])
        assert nginx is not None
        self._start(
            "nginx",
            [nginx, "-p", str(self.directory), "-c", str(nginx_conf), "-e", str(self.directory / "nginx-error.log")],
        )
        wait_until(lambda: (self.directory / "fpm.sock").exists(), "php-fpm listens")
        wait_until(lambda: can_connect(self.port), "nginx listens")

    def _start(self, name: str, argv: list[str]) -> None:
        self._processes.append(Process(name, argv, self.directory / f"{name}.output"))

    def stop(self) -> None:
        """End both servers."""
        for process in reversed(self._processes):
            process.stop()
        self._processes.clear()
