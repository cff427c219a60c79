"""Memory of large items is kept for the next one."""

import subprocess
import sys
from pathlib import Path

import gripproxy

SOURCE = Path(gripproxy.__file__).parents[1]

FAULTS_OF_TEN_ROUNDS = """
import resource, sys
from gripproxy.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
block = b"x" * 1_000_000
def copy_some():
    copies = [block + bytes([number]) for number in range(6)]
copy_some()
copy_some()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    copy_some()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(mode: str) -> int:
    command = [sys.executable, "-c", FAULTS_OF_TEN_ROUNDS, mode]
    return int(subprocess.run(command, cwd=SOURCE, check=True, capture_output=True, text=True).stdout)


def test_copies_of_a_large_item_fault_no_page_in_after_the_first() -> None:
    """Ten rounds of 6 MB are 15,000 pages: each costs about as much as copying it does."""
    assert faults("keep") < 1000
    assert faults("leave") > 5000  # else the C library does it by itself, and the module can go
