"""System calls that programs have no use for and attacks do: a filter that refuses them with EPERM.

Beside the namespaces this keeps programs of one batch apart (no shared memory or message queues that outlive a
process, no limits set on another process) and the kernel out of reach. Written by hand as classic BPF, so that no
library is needed. Not covered: machines other than x86-64 and aarch64, which run without a filter.
"""

from __future__ import annotations

import platform
import struct

# name -> numbers on x86-64 and aarch64 (None: no such call there)
REFUSED = {
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "pidfd_getfd": (438, 438),
    "kcmp": (312, 272), "process_madvise": (440, 440), "sched_setparam": (142, 118), "sched_setscheduler": (144, 119),
    "sched_setaffinity": (203, 122), "sched_setattr": (314, 274), "setpriority": (141, 140), "ioprio_set": (251, 30),
    "shmget": (29, 194), "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180), "add_key": (248, 217),
    "request_key": (249, 218), "keyctl": (250, 219), "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40),
    "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428),
    "move_mount": (429, 429), "fsopen": (430, 430), "fsmount": (432, 432), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "kexec_load": (246, 104), "init_module": (175, 105),
    "finit_module": (313, 273), "quotactl": (179, 60), "personality": (135, 92), "fanotify_init": (300, 262),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "landlock_create_ruleset": (444, 444),
}  # fmt: skip
_PRLIMIT = (302, 261)  # refused for any process but the caller
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _KILL, _EPERM = 0x7FFF0000, 0x80000000, 0x00050001
_X32 = 0x40000000  # calls of the x32 interface carry this bit, and would pass a filter that knows only the numbers


def program(machine: str = "") -> bytes | None:
    """The filter for this machine as bwrap's --seccomp reads it; None where it is not known how to write one."""
    known = _ARCHITECTURES.get(machine or platform.machine())
    if known is None:
        return None
    column, architecture = known
    numbers = sorted(numbers[column] for numbers in REFUSED.values())
    lines = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    lines += [(_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _KILL)]
    for number in numbers:
        lines += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _EPERM)]
    # prlimit64(pid, ...): the low word of the first argument must be 0, which means the caller.
    lines += [(_EQUAL, 0, 3, _PRLIMIT[column]), (_LOAD, 0, 0, 16), (_EQUAL, 1, 0, 0), (_RETURN, 0, 0, _EPERM)]
    lines += [(_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("<HBBI", *line) for line in lines)
