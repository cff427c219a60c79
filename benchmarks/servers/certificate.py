"""A certificate for a server's TLS port, made for the run."""

import subprocess
from pathlib import Path

from benchmarks.errors import BenchmarkError

COMMAND = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=bench"


def make_certificate(directory: Path, name: str) -> None:
    """Write ``NAME.crt`` and ``NAME.key``.

    Raises:
        BenchmarkError: openssl is not there, or fails.
    """
    directory.mkdir(parents=True, exist_ok=True)
    files = ["-keyout", str(directory / f"{name}.key"), "-out", str(directory / f"{name}.crt")]
    try:
        subprocess.run([*COMMAND.split(), *files], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BenchmarkError(f"no certificate: {error}") from error
