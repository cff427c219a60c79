"""What is read from /proc."""

import os
import subprocess
import sys

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.process_tree import TICKS_PER_S, Memory, ProcessTree, decode_rollup, ended_children_cpu_s


def test_ended_children_are_read_past_a_name_with_spaces_and_parentheses() -> None:
    """nginx and gripproxy set titles with spaces; counting fields from the line's start would be wrong."""
    stat = "77 (worker 1) x) S 1 77 77 0 -1 4194560 1 2 3 4 500 600 30 12 20 0 1 0 100 200 300"
    assert ended_children_cpu_s(stat) == 42 / TICKS_PER_S


def test_memory_is_in_bytes_and_data_leaves_files_out() -> None:
    """The kernel's kB are 1,024 bytes, and a library's pages are not what a connection needs."""
    rollup = "5581 ---p [rollup]\nRss: 9 kB\nPss: 7 kB\nPss_Anon: 3 kB\nPss_File: 2 kB\nPss_Shmem: 2 kB\n"
    assert decode_rollup(rollup) == Memory(7 * 1024, 5 * 1024)


def test_a_rollup_without_pss_is_refused() -> None:
    """A figure of 0 bytes must not pass for a measurement."""
    with pytest.raises(BenchmarkError):
        decode_rollup("5581 ---p [rollup]\nRss: 9 kB\n")


def test_grandchildren_count() -> None:
    """A server's workers may be its children's children; their CPU and memory belong to it."""
    child = "import sys; sys.stdin.read()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        tree = ProcessTree(process.pid)
        while len(tree.pids()) < 2:
            assert process.poll() is None
        assert tree.pids()[0] == process.pid
        assert tree.memory().data_bytes > 1 << 20
        assert tree.cpu_s() > 0
        process.stdin.close()
    assert tree.pids() == []


def test_open_files_are_counted() -> None:
    """A connection that the server ended is seen by its descriptor alone."""
    tree = ProcessTree(os.getpid())
    before = tree.file_count()
    with open(os.devnull), open(os.devnull):
        assert tree.file_count() == before + 2


def test_own_cpu_agrees_with_the_clock_of_the_process() -> None:
    """The number that stands for another process's CPU clock is the right one."""
    before = os.times()
    reading = ProcessTree(os.getpid()).cpu_s()
    after = os.times()
    tick = 2 / TICKS_PER_S
    assert before.user + before.system - tick <= reading - before.children_user - before.children_system
    assert reading - after.children_user - after.children_system <= after.user + after.system + tick
