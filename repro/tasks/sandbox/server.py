"""The warm interpreter: it forks once per program and reports what became of it. Never imported by the suite.

`box.py` hands this text and that of `child.py` to `python -c`, so that no file of them can be read inside. They use
the standard library alone. In the sandbox this is process 1, which no process inside can signal, and kill(-1) from it
ends all that is left over.
"""

import _socket
import builtins
import functools
import gc
import json
import os
import resource
import select
import signal
import sys
import time
import types

CHUNK = 1 << 15
KINDS = ASSERTS, STDIO, CALLS = b"a", b"s", b"c"
# What most programs import. Not more: every page of the heap makes every fork a little slower.
PRELOADED = """
    array bisect cmath collections collections.abc copy datetime functools heapq io itertools json math operator os
    queue random re string struct textwrap threading time types typing
""".split()
# What tests use, so that a changed one must not outlive the code under test.
GUARDED = """
    cmath collections copy functools itertools json math operator os posix random re string sys time types
""".split()


class Server:
    """One sandbox: reads jobs from `jobs`, writes a reply for each to `replies`."""

    def __init__(self, settings, child):
        self.child_module = child
        self.boxed, self.cpu, self.wall, self.output, self.scratch = (settings[name] for name in (
            "boxed", "cpu", "wall", "output", "scratch"))  # fmt: skip
        self.jobs, self.replies = settings["jobs"], settings["replies"]
        self.mode = os.stat(".").st_mode
        self.real = dict(vars(builtins))
        self.guarded = [(name, sys.modules[name], dict(vars(sys.modules[name]))) for name in GUARDED]

    def serve(self):
        """Runs jobs. Returns in a forked child alone, with what the child has to do."""
        self.reply(b"r", 0, b"")
        while True:
            kind, header = self.read(1), self.read(8)
            sizes = [int.from_bytes(header[at : at + 4], "little") for at in (0, 4)]
            source = self.read(sizes[0])
            # The second part of an assertion job, its tests, is read after the fork: the child must not have it.
            late = self.read(sizes[1]) if kind != ASSERTS else None
            mine, child_end = self.pair()
            files = ()
            if kind == STDIO:
                files = os.memfd_create("stdin"), os.memfd_create("stdout")
                self.fill(files[0], late)
            tokens = [os.urandom(16), os.urandom(16)]
            child = os.fork()
            if child == 0:
                for number in (self.jobs, self.replies, mine):
                    os.close(number)
                return self.child(kind, source, late, child_end, files, tokens)
            os.close(child_end)
            if kind == ASSERTS:
                late = self.read(sizes[1])
            code, body = self.watch(kind, child, mine, late, tokens)
            if files:
                if code == b"p":
                    size = os.fstat(files[1]).st_size
                    code, body = (b"o", b"") if size > self.output else (b"p", os.pread(files[1], self.output, 0))
                for number in files:
                    os.close(number)
            os.close(mine)
            clean = self.tidy()
            self.reply(code, 0 if clean else 1, body)
            if not clean:
                os._exit(0)  # a fresh sandbox is simpler than mending this one

    def read(self, size):
        """Exactly so many bytes; a parent that is gone ends the sandbox."""
        parts = []
        while size:
            part = os.read(self.jobs, min(size, 1 << 20))
            if not part:
                os._exit(0)
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def reply(self, code, flag, body):
        rest = memoryview(code + bytes([flag]) + len(body).to_bytes(4, "little") + body)
        while rest:
            rest = rest[os.write(self.replies, rest) :]

    @staticmethod
    def pair():
        mine, other = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        mine.setblocking(False)
        return mine.detach(), other.detach()

    @staticmethod
    def fill(number, content):
        # The file-size limit of programs holds for the server as well; a child's alone is lowered below.
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(number, rest) :]
        os.lseek(number, 0, os.SEEK_SET)

    def child(self, kind, source, late, channel, files, tokens):
        """In the forked child: limits, descriptors, and what `run` of `child.py` is to do, last entry first."""
        resource.setrlimit(resource.RLIMIT_CPU, (self.cpu, self.cpu + 1))
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.scratch, self.scratch))
        if not self.boxed:
            os.setpgid(0, 0)  # setsid would make the scheduler set up a group of its own, which is slow
        for number, place in zip(files, (0, 1), strict=False):
            os.dup2(number, place)
            os.close(number)
        name = "__main__" if kind == STDIO else "program"
        module = sys.modules[name] = types.ModuleType(name)
        if name != "__main__":
            sys.modules["__main__"] = types.ModuleType("__main__")
        space = vars(module)
        space["__builtins__"] = builtins
        gc.enable()
        child = self.child_module
        ends = [os._exit, functools.partial(child.failure, channel)]
        if kind == STDIO:
            return [functools.partial(child.run_program, space, source), *ends]
        if kind == CALLS:
            return [functools.partial(child.run_calls, space, source, late, channel, self.output), *ends]
        first = functools.partial(child.code_apart, space, source)
        second = functools.partial(child.tests_apart, space, channel, self.real, self.guarded)
        write = functools.partial(os.write, channel)
        gc.freeze()  # out of the lists of the garbage collector
        return [first, tokens[0], write, second, tokens[1], write, *ends]

    def watch(self, kind, child, channel, tests, tokens):
        """Until the child has ended or must: (code of the status, body of the reply)."""
        ends = time.monotonic() + self.wall
        handle = os.pidfd_open(child)
        poll = select.poll()
        poll.register(channel, select.POLLIN)
        poll.register(handle, select.POLLIN)
        verdict, body, step, size = None, [], 0, 0
        ended = False
        while verdict is None and not ended:
            ready = dict(poll.poll(max(0.0, ends - time.monotonic()) * 1000))
            if not ready:
                verdict = b"t"
            ended = handle in ready
            while verdict is None and channel in ready:
                try:
                    message = os.read(channel, 1 << 17)
                except OSError:
                    break
                if not message:
                    poll.unregister(channel)
                    break
                size += len(message)
                if kind == ASSERTS and step == 0 and message == tokens[0]:
                    step = 1
                    verdict = self.send(channel, tests, ends)
                elif kind == ASSERTS and step == 1 and message == tokens[1]:
                    step = 2
                elif message[:1] == b"!" and len(message) < 1000:
                    body = [*body, message] if kind == CALLS else [message[1:]]
                    step = -1
                elif kind == CALLS and message[:1] in b"=-":
                    verdict = b"o" if size > self.output else None
                    body.append(message)
                else:
                    verdict = b"f"
        if verdict is not None:
            os.kill(child, signal.SIGKILL)
        if not self.boxed:
            try:
                os.killpg(child, signal.SIGKILL)
            except OSError:
                pass
        _, status, usage = os.wait4(child, 0)
        os.close(handle)
        if verdict is None:
            verdict = self.ending(kind, status, usage, step)
            if verdict == b"e" and kind != CALLS and os.WIFSIGNALED(status):
                body = [b"killed by signal %d" % os.WTERMSIG(status)]
        return verdict, b"\0".join(body) if kind == CALLS or verdict in b"ew" else b""

    def ending(self, kind, status, usage, step):
        """The code of the status of a child that ended by itself."""
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            if number == signal.SIGXCPU or usage.ru_utime + usage.ru_stime >= self.cpu:
                return b"t"
            if number == signal.SIGXFSZ:
                return b"o"
            return b"k" if number == signal.SIGKILL else b"e"
        code = os.WEXITSTATUS(status)
        if code in (self.child_module.OUT_OF_MEMORY, self.child_module.WRONG):
            return b"m" if code == self.child_module.OUT_OF_MEMORY else b"w"
        if code != 0 or step < 0:
            return b"e"
        return b"p" if kind != ASSERTS or step == 2 else b"x"

    @staticmethod
    def send(channel, content, ends):
        """The tests, in pieces, and an empty piece; a code if the child does not take them."""
        pieces = [content[at : at + CHUNK] for at in range(0, len(content), CHUNK)] + [b"."]
        poll = select.poll()
        poll.register(channel, select.POLLOUT)
        while pieces:
            try:
                os.write(channel, pieces[0])
                del pieces[0]
            except BlockingIOError:
                if not poll.poll(max(0.0, ends - time.monotonic()) * 1000):
                    return b"t"
            except OSError:
                return None  # it has closed its end: how it ended says the rest
        return None

    def tidy(self):
        """End what the program left over and empty the scratch folder. False: the sandbox must be replaced."""
        try:
            while True:
                if self.boxed:
                    try:
                        os.kill(-1, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
                if os.waitpid(-1, 0 if self.boxed else os.WNOHANG)[0] == 0:
                    break
        except ChildProcessError:
            pass
        try:
            left = os.listdir(".")
            for name in left[:100]:
                os.unlink(name)
            return len(left) <= 100 and os.stat(".").st_mode == self.mode
        except OSError:  # folders, or a scratch folder that cannot be read any more
            return False


def prepare(settings):
    """Limits that hold for the server too, imports, and a heap that forks share."""
    # `random` would seed itself anew in every child, `threading` look for threads there are none of.
    os.register_at_fork = lambda **_: None
    for name in PRELOADED:
        try:
            __import__(name)
        except ImportError:
            continue  # a Python built without it
    os.environ.clear()
    sys.orig_argv[:] = sys.argv[:] = ["program"]
    del sys.settrace, sys.setprofile  # a trace function could make the tests skip lines
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    for limit, value in (
        (resource.RLIMIT_CORE, 0), (resource.RLIMIT_MSGQUEUE, 0), (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_AS, settings["memory"]),
    ):  # fmt: skip
        if value is not None:
            resource.setrlimit(limit, (value, value))
    sys.modules["random"].seed(0)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    source, module = sys.argv[2], types.ModuleType("child")
    prepare(given)
    exec(compile(source, "<sandbox>", "exec"), vars(module))
    warm = Server(given, module)
    gc.collect()
    gc.freeze()
    gc.disable()
    del gc.unfreeze
    module.run_apart(warm.serve())
