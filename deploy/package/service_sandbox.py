"""Puts the filters of system calls beside it in force and becomes the program. Runs as the service's user.

Usage: service_sandbox.py UMASK PROGRAM [ARGUMENT ...]
"""

import ctypes
import os
import sys
from pathlib import Path

PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
INSTRUCTION_BYTES = 8


class FilterProgram(ctypes.Structure):
    """The kernel's sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def main() -> None:
    """Do it."""
    os.umask(int(sys.argv[1], 8))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    for path in sorted(Path(__file__).parent.glob("*.bpf")):
        code = path.read_bytes()
        program = FilterProgram(len(code) // INSTRUCTION_BYTES, code)
        if prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program)):
            raise OSError(ctypes.get_errno(), f"no filter from {path.name}")
    os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
