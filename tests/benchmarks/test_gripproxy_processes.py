"""Which process is which."""

import os
import subprocess
import sys

from benchmarks.gripproxy_processes import hubs_and_workers, title_of
from benchmarks.process_tree import ProcessTree


def test_title_of_a_process_that_is_gone_is_empty() -> None:
    """A server that ends while it is looked at must end the reading as a failure of its own, not as a crash of ours."""
    assert title_of(os.getpid())
    assert title_of(2**22 + 1) == ""


def test_processes_are_told_apart_by_their_titles() -> None:
    """Their order says nothing: any of them may have been replaced."""
    forks = """
import os, setproctitle, sys
for title in ("gripproxy: worker 1", "gripproxy: hub", "gripproxy: worker 0"):
    if not os.fork():
        setproctitle.setproctitle(title)
        break
print(flush=True)
sys.stdin.read()
"""
    argv = [sys.executable, "-c", forks]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(4):
            process.stdout.readline()
        hubs, workers = hubs_and_workers(ProcessTree(process.pid))
        assert [title_of(tree.root_pid) for tree in hubs] == ["gripproxy: hub"]
        assert sorted(title_of(tree.root_pid) for tree in workers) == ["gripproxy: worker 0", "gripproxy: worker 1"]
        process.stdin.close()
