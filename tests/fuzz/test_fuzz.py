"""Each fuzz target takes all inputs that were kept, and what a fuzzer comes up with in a moment.

For longer: ``python -m tests.fuzz NAME --seconds 600``.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS
from tests.integration.server import SOURCE_ROOT, source_env

CORPUS_PATH = Path(__file__).with_name("corpus")
CORPUS = [pytest.param(path, id=f"{path.parent.name}-{path.name}") for path in sorted(CORPUS_PATH.glob("*/*"))]
RUNS_MAX_COUNT = 20_000
SECONDS_MAX = int(os.environ.get("GRIPPROXY_FUZZ_SECONDS", "1"))
START_MAX_S = 60  # to import everything, on a busy machine


@pytest.mark.parametrize("path", CORPUS)
def test_kept_input_is_taken(path: Path) -> None:
    """Seeds, and inputs that once broke something."""
    TARGETS[path.parent.name](path.read_bytes())


def test_every_target_has_seeds_and_every_seed_a_target() -> None:
    """Without seeds a fuzzer does not get past the first lines of a grammar."""
    assert {path.name for path in CORPUS_PATH.iterdir()} == set(TARGETS)


def fuzz(target: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run a fuzzer, which ends its whole process, in `folder`, where it writes what it finds."""
    argv = [
        sys.executable,
        "-m",
        "tests.fuzz",
        target,
        f"--seconds={SECONDS_MAX}",
        f"--runs={RUNS_MAX_COUNT}",
        "--seed=1",
    ]
    env = os.environ | source_env()
    env["PYTHONPATH"] += f"{os.pathsep}{SOURCE_ROOT}"
    limit_s = START_MAX_S + 2 * SECONDS_MAX
    return subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, timeout=limit_s)


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_is_found_in_a_moment(target: str, tmp_path: Path) -> None:
    """The input that a failure shows goes into the corpus, with the fault mended."""
    pytest.importorskip("atheris")
    run = fuzz(target, tmp_path)
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert run.returncode == 0 and not found, f"{found}\n{run.stderr[-3000:]}"
    assert "DONE" in run.stderr


def test_fuzzer_finds_what_is_wrong(tmp_path: Path) -> None:
    """A run that finds nothing must mean something."""
    pytest.importorskip("atheris")
    run = fuzz("tests.fuzz.planted:fragile", tmp_path)
    assert run.returncode != 0
    (crash,) = tmp_path.iterdir()
    assert crash.name.startswith("crash-") and b",," in crash.read_bytes().replace(b" ", b"").replace(b"\t", b"")
