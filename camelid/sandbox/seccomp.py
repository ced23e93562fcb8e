"""The system calls that a program in the sandbox is refused, as a filter of the kernel's (`man 2 seccomp`).

A limit on processes (RLIMIT_NPROC) does not bind inside a user namespace, so that new processes are refused here;
threads stay. So do sockets, what looks into other processes, new namespaces and mounts, keys, kernel memory that no
limit counts, and `io_uring`, whose operations no filter sees.
"""

import errno
import platform
import struct
from dataclasses import dataclass

# linux/bpf_common.h, linux/filter.h: load a word, compare, return.
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
# linux/seccomp.h: struct seccomp_data and the actions.
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_THREAD = 0x00010000  # CLONE_THREAD, linux/sched.h
_CLONE3, _X32 = 435, 0x40000000
# Everywhere the same: io_uring_setup, open_tree, move_mount, fsopen, pidfd_getfd, mount_setattr, memfd_secret.
_REFUSED_EVERYWHERE = (425, 428, 429, 430, 438, 442, 447)


@dataclass(frozen=True, slots=True)
class Machine:
    """A processor's numbers.

    Attributes:
        audit: AUDIT_ARCH of linux/audit.h.
        clone: the call that makes threads, and processes too.
        refused: the numbers of calls that are refused.
    """

    audit: int
    clone: int
    refused: tuple[int, ...]


# fork vfork (x86 only) socket ptrace process_vm_readv process_vm_writev unshare setns mount umount2 pivot_root chroot
# keyctl add_key request_key bpf perf_event_open userfaultfd memfd_create shmget msgget semget mq_open
# open_by_handle_at kexec_load init_module finit_module, of asm/unistd_64.h and asm-generic/unistd.h
_X86 = "57 58 41 101 310 311 272 308 165 166 155 161 250 248 249 321 298 323 319 29 68 64 240 304 246 175 313"
_ARM = "198 117 270 271 97 268 40 39 41 51 219 217 218 280 241 282 279 194 186 190 180 265 104 105 273"
MACHINES = {
    "x86_64": Machine(0xC000003E, 56, tuple(map(int, _X86.split()))),
    "aarch64": Machine(0xC00000B7, 220, tuple(map(int, _ARM.split()))),
}


def seccomp_filter(machine: str = platform.machine()) -> bytes | None:
    """The filter as the kernel takes it, 8 bytes an instruction; None for a processor that is not in `MACHINES`."""
    known = MACHINES.get(machine)
    if known is None:
        return None
    refused = (*known.refused, *_REFUSED_EVERYWHERE)
    lines = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, known.audit),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_EQUAL, 0, 1, _CLONE3),  # its flags are in memory, which no filter sees: libraries then fall back to clone
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
        (_EQUAL, 0, 3, known.clone),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_ANY_BIT, 0, len(refused) + 3, _THREAD),
        (_RETURN, 0, 0, _ALLOW),
        (_AT_LEAST, len(refused) + 1, 0, _X32),  # x86's second table of numbers
        *((_EQUAL, len(refused) - place, 0, number) for place, number in enumerate(refused)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
    ]
    return b"".join(struct.pack("<HBBI", *line) for line in lines)
