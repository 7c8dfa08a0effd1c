"""The program in which `code_interpreter` runs code. It imports nothing of this library.

The parent gives its settings as JSON and the code on standard input. Where the system lets it, the program moves
into namespaces of its own (user, network, processes, IPC, mounts) before it runs anything: three processes then, the
first of which waits for the second, the init of its process namespace, with which all others end, and that for the
third, which runs the code.
"""

from __future__ import annotations

import ast
import ctypes
import json
import os
import resource
import signal
import sys
import traceback
from typing import Any, Final

NO_SANDBOX: Final = 77
"""The exit status when a sandbox was required and cannot be had."""
SIGNALLED: Final = 128
"""Added to the number of the signal that killed the code."""

_NEW_USER, _NEW_NET, _NEW_PID, _NEW_IPC, _NEW_MOUNTS = 0x10000000, 0x40000000, 0x20000000, 0x08000000, 0x00020000
_MOUNT_SETATTR = 442  # the same on all architectures
_HERE, _RECURSIVE, _READ_ONLY = -100, 0x8000, 1
_NOSUID_NODEV_NOEXEC = 2 | 4 | 8
_PARENT_DEATH, _NO_NEW_PRIVILEGES = 1, 38
_CAPABILITY_VERSION_3 = 0x20080522


class _MountAttributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "user_namespace")]


class _CapabilityHeader(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def enter_namespaces(libc: Any, directory: str, tmpfs_bytes: int) -> list[str]:
    """Leave the system's network, processes, IPC and users behind, and write nowhere but in `directory`.

    Returns:
        What holds from now on: `"network"` and `"processes"` together, or nothing; and `"files"`.
    """
    user, group = os.geteuid(), os.getegid()
    try:
        if libc.unshare(_NEW_USER | _NEW_NET | _NEW_PID | _NEW_IPC | _NEW_MOUNTS) != 0:
            return []
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    except (AttributeError, OSError):  # not Linux, or not allowed
        return []
    held = ["network", "processes"]
    attributes = _MountAttributes(set=_READ_ONLY)
    read_only = libc.syscall(_MOUNT_SETATTR, _HERE, b"/", _RECURSIVE, ctypes.byref(attributes), 32) == 0
    options = f"size={tmpfs_bytes},nr_inodes=1024,mode=700".encode()
    own = libc.mount(b"tmpfs", directory.encode(), b"tmpfs", _NOSUID_NODEV_NOEXEC, options) == 0
    return [*held, "files"] if read_only and own else held


def limit(settings: dict[str, Any], *, alone: bool) -> None:
    """Set limits that cannot be raised again.

    Args:
        settings: as the parent sent them.
        alone: in a user namespace the number of processes is counted there alone; elsewhere a limit would count
            those of the whole service.
    """
    limits = {
        resource.RLIMIT_AS: settings["memory"],
        resource.RLIMIT_CPU: settings["cpu"],
        resource.RLIMIT_FSIZE: settings["file_bytes"],
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_CORE: 0,
    }
    if alone:
        limits[resource.RLIMIT_NPROC] = settings["processes"]
    for which, value in limits.items():
        _, hard = resource.getrlimit(which)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (value, value))


def give_up_rights(libc: Any) -> None:
    """Keep no capability, and never get one again."""
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    libc.capset(ctypes.byref(_CapabilityHeader(_CAPABILITY_VERSION_3, 0)), (ctypes.c_uint32 * 6)())


def run_code(code: str) -> int:
    """Run a program and print the value of its last line, if that is an expression; return the exit status."""
    names: dict[str, Any] = {"__name__": "__main__", "__builtins__": __builtins__}
    try:
        tree = ast.parse(code, "<code>")
        last = tree.body[-1] if tree.body else None
        if isinstance(last, ast.Expr):
            tree.body.pop()
        exec(compile(tree, "<code>", "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "<code>", "eval"), names)
            if value is not None:
                sys.stdout.write(f"{value}\n")
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException as error:
        sys.stdout.flush()
        # Without the frames of this program.
        rest = error.__traceback__
        while rest is not None and rest.tb_frame.f_code.co_filename != "<code>":
            rest = rest.tb_next
        traceback.print_exception(type(error), error, rest, limit=20)
        return 1
    finally:
        sys.stdout.flush()
    return 0


def _wait_for(child: int) -> int:
    """Wait for a child, and for whatever else becomes one; return the exit status of the first."""
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else SIGNALLED - code


def _fork(libc: Any) -> int:
    """Fork; the child dies with its parent."""
    child = os.fork()
    if child == 0:
        libc.prctl(_PARENT_DEATH, signal.SIGKILL, 0, 0, 0)
    return child


def main(settings: dict[str, Any], code: str) -> int:
    """Run `code`; return the exit status."""
    signal.alarm(settings["alarm"])  # if the parent is not there to end it
    libc = _libc()
    held = enter_namespaces(libc, settings["directory"], settings["tmpfs_bytes"]) if settings["sandbox"] else []
    if settings["probe"]:
        sys.stdout.write(json.dumps(held))
        return 0
    if settings["required"] and "files" not in held:
        sys.stdout.write("no sandbox on this system")
        return NO_SANDBOX
    if held:
        if child := _fork(libc):
            return _wait_for(child)
        libc.mount(b"proc", b"/proc", b"proc", _NOSUID_NODEV_NOEXEC, None)  # often refused inside of a container
        if child := _fork(libc):
            os._exit(_wait_for(child))
    os.chdir(settings["directory"])
    if held:
        give_up_rights(libc)
    limit(settings, alone=bool(held))
    status = run_code(code)
    sys.stdout.flush()
    os._exit(status & 0xFF)


if __name__ == "__main__":
    program = sys.stdin.buffer.read().decode()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    sys.exit(main(json.loads(sys.argv[1]), program))
