"""The warm interpreter: it forks once per program and reports what became of it. Never imported by the suite.

`box.py` hands the compiled code of this file and of `child.py` to a bare interpreter, so that no file of them can be
read inside. They use the standard library alone. In the sandbox this is process 1, which no process inside can signal,
and kill(-1) from it ends all that is left over.

Most of what a job costs is page faults: after a fork, server and child copy every page before they write to it, and to
use an object is to write, because that counts its references. So what every job needs is made once, before the first
fork, as `partial` objects that lie side by side, while the functions they call are spread over the heap.
"""

import _socket
import builtins
import gc
import os
import resource
import select
import signal
import sys
import time
import types
from functools import partial

CHUNK = 1 << 15
KINDS = ASSERTS, STDIO, CALLS = b"a", b"s", b"c"
CHANNEL = 3  # where a child finds its end; it has no descriptors above
MOST_DESCRIPTORS = 64
QUICK = 0.05  # seconds: no child can use up a second of processor time in them
# What most programs import. Not more: every page of the heap makes every fork a little slower.
PRELOADED = """
    bisect cmath collections collections.abc copy functools heapq io itertools json math operator os random re string
    threading time types typing
""".split()


class Server:
    """One sandbox: reads jobs from the descriptor `jobs`, writes a reply for each to `replies`."""

    def __init__(self, settings, child):
        self.boxed, self.cpu, self.wall, self.output = (settings[name] for name in ("boxed", "cpu", "wall", "output"))
        self.codes = {0: b"p", child["WRONG"]: b"w", child["OUT_OF_MEMORY"]: b"m"}
        # For every job.
        self.receive, self.answer = partial(os.read, settings["jobs"]), partial(os.write, settings["replies"])
        self.read_from, self.write_to, self.close = partial(os.read), partial(os.write), partial(os.close)
        self.pair = partial(_socket.socketpair, _socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        self.token, self.fork, self.handle = partial(os.urandom, 16), partial(os.fork), partial(os.pidfd_open)
        self.poll, self.now, self.wait = partial(select.poll), partial(time.monotonic), partial(os.waitpid)
        self.open_up, self.entries = partial(os.chmod, b".", os.stat(".").st_mode & 0o7777), partial(os.listdir, ".")
        # How many processes the cgroup counts, and how many if no program has left any.
        self.count, self.alone = partial(os.pread, settings["count"], 16, 0), settings["alone"]
        # For every child.
        program, main = types.ModuleType("program"), types.ModuleType("__main__")
        for module in (program, main):
            vars(module)["__builtins__"] = builtins
            sys.modules[module.__name__] = module
        real = dict(vars(builtins))
        guarded = {name: (sys.modules[name], dict(vars(sys.modules[name]))) for name in settings["guarded"]}
        space, scratch = vars(program), settings["scratch"]
        self.enter = (
            partial(resource.setrlimit, resource.RLIMIT_CPU, (self.cpu, self.cpu + 1)),
            partial(resource.setrlimit, resource.RLIMIT_FSIZE, (scratch, scratch)),
            partial(os.dup2), partial(os.closerange, CHANNEL + 1, MOST_DESCRIPTORS), partial(gc.enable),
            partial(gc.freeze), partial(os._exit), partial(child["fail_apart"], CHANNEL),
        )  # fmt: skip
        self.asserts = (
            partial(child["code_apart"], space), partial(os.write, CHANNEL),
            partial(child["tests_apart"], space, CHANNEL, real, guarded),
        )  # fmt: skip
        self.calls = partial(child["run_calls"], space, CHANNEL, self.output)
        self.stdio = partial(child["run_program"], vars(main))
        self.itself = self  # never freed in a child, where that would write all over the heap

    def serve(self):
        """Runs jobs. Returns in a forked child alone, with what the child has to do, last entry first."""
        limit_time, limit_files, duplicate, close_others, collect, freeze, leave, fail = self.enter
        (run_code, write, run_tests), calls, wrap, size_of = self.asserts, self.calls, partial, partial(int.from_bytes)
        self.reply(b"r", True, b"")
        while True:
            header = self.read(9)
            kind, size, rest = header[:1], size_of(header[1:5], "little"), size_of(header[5:], "little")
            source = self.read(size)
            # The second part of an assertion job, its tests, is read after the fork: the child must not have it.
            late = self.read(rest) if kind != ASSERTS else None
            mine, other = self.pair()
            mine.setblocking(False)
            mine, other = mine.detach(), other.detach()
            files = self.files(late) if kind == STDIO else None
            first, second = self.token(), self.token()
            child = self.fork()
            if child == 0:
                limit_time()
                limit_files()
                if not self.boxed:
                    os.setpgid(0, 0)  # setsid would make the scheduler set up a group of its own, which is slow
                if files:
                    os.dup2(files[0], 0)
                    os.dup2(files[1], 1)
                duplicate(other, CHANNEL, False)
                close_others()
                collect()
                if kind == ASSERTS:
                    code = wrap(run_code, source)
                    freeze()  # out of the lists of the garbage collector
                    return [code, first, write, run_tests, second, write, leave, fail]
                return [wrap(calls, source, late) if kind == CALLS else wrap(self.stdio, source), leave, fail]
            self.close(other)
            if kind == ASSERTS:
                late = self.read(rest)
            code, body = self.watch(kind, child, mine, late, first, second)
            if files:
                code, body = self.printed(code, body, files)
            self.close(mine)
            clean = self.tidy()
            self.reply(code, clean, body)
            if not clean:
                os._exit(0)  # a fresh sandbox is simpler than mending this one

    def read(self, size):
        """Exactly so many bytes; a parent that is gone ends the sandbox."""
        part = self.receive(min(size, 1 << 20))
        if len(part) == size:
            return part
        parts = []
        while part:
            parts.append(part)
            size -= len(part)
            part = self.receive(min(size, 1 << 20))
        return b"".join(parts) if not size else os._exit(0)

    def reply(self, code, clean, body):
        rest = b"%b%b%b%b" % (code, b"\0" if clean else b"\1", len(body).to_bytes(4, "little"), body)
        while rest:
            rest = rest[self.answer(rest) :]

    @staticmethod
    def files(content):
        """Standard input, filled, and output; the limit of file sizes holds for children alone."""
        made = os.memfd_create("stdin"), os.memfd_create("stdout")
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(made[0], rest) :]
        os.lseek(made[0], 0, os.SEEK_SET)
        return made

    def printed(self, code, body, files):
        """The code, and what was printed if it passed. Closes the files."""
        if code == b"p":
            size = os.fstat(files[1]).st_size
            code, body = (b"o", b"") if size > self.output else (b"p", os.pread(files[1], self.output, 0))
        for number in files:
            os.close(number)
        return code, body

    def watch(self, kind, child, channel, tests, first, second):
        """Until the child has ended or must: (code of the status, body of the reply)."""
        start, handle, poll = self.now(), self.handle(child), self.poll()
        poll.register(channel, 1)
        poll.register(handle, 1)
        verdict, body, step, size, ended = None, [], 0, 0, False
        while verdict is None and not ended:
            ready = dict(poll.poll(max(0.0, start + self.wall - self.now()) * 1000))
            if not ready:
                verdict = b"t"
            ended, more = handle in ready, channel in ready
            while more and verdict is None:
                try:
                    message = self.read_from(channel, 1 << 15)
                except OSError:
                    break
                if not message:
                    poll.unregister(channel)
                    break
                more = ended  # the next one wakes us; to look whether it is there costs an exception
                if message == first and step == 0 and kind == ASSERTS:
                    step = 1
                    verdict = self.send(channel, tests, start + self.wall)
                elif message == second and step == 1:
                    step = 2
                elif message[:1] == b"!" and len(message) < 1000:
                    body = [*body, message] if kind == CALLS else [message[1:]]
                    step = -1
                elif kind == CALLS and message[:1] in b"=-":
                    size += len(message)
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
        if self.now() - start < QUICK:
            used, status = 0.0, self.wait(child, 0)[1]
        else:
            _, status, usage = os.wait4(child, 0)
            used = usage.ru_utime + usage.ru_stime
        self.close(handle)
        if verdict is None:
            if step == 2 and status == 0:
                return b"p", b""
            verdict = self.ending(kind, status, used, step)
            if verdict == b"e" and kind != CALLS and os.WIFSIGNALED(status):
                body = [b"killed by signal %d" % os.WTERMSIG(status)]
        return verdict, b"\0".join(body) if kind == CALLS or verdict in b"ew" else b""

    def ending(self, kind, status, used, step):
        """The code of the status of a child that ended by itself."""
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            if number == signal.SIGXCPU or used >= self.cpu:
                return b"t"
            if number == signal.SIGXFSZ:
                return b"o"
            return b"k" if number == signal.SIGKILL else b"e"
        code = self.codes.get(os.WEXITSTATUS(status), b"e")
        if code == b"p" and (step < 0 or kind == ASSERTS):
            return b"e" if step < 0 else b"x"
        return code

    def send(self, channel, content, ends):
        """The tests, in pieces of which the last one begins with a point; a code if the child does not take them."""
        at = 0
        while at == 0 or at < len(content):
            piece = content[at : at + CHUNK]
            try:
                self.write_to(channel, (b"." if at + CHUNK >= len(content) else b"+") + piece)
                at += CHUNK
            except BlockingIOError:
                poll = select.poll()
                poll.register(channel, select.POLLOUT)
                if not poll.poll(max(0.0, ends - time.monotonic()) * 1000):
                    return b"t"
            except OSError:
                return None  # it has closed its end: how it ended says the rest
        return None

    def tidy(self):
        """End what the program left over and empty the scratch folder. False: the sandbox must be replaced."""
        if not self.boxed or self.count() != self.alone:
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
            self.open_up()
            left = self.entries()
            for name in left[:100]:
                os.unlink(name)
            return len(left) <= 100
        except OSError:  # folders
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
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    for limit, value in (
        (resource.RLIMIT_CORE, 0), (resource.RLIMIT_MSGQUEUE, 0), (resource.RLIMIT_NOFILE, MOST_DESCRIPTORS),
        (resource.RLIMIT_AS, settings["memory"]),
    ):  # fmt: skip
        if value is not None:
            resource.setrlimit(limit, (value, value))
    sys.modules["random"].seed(0)
    compile("", "", "exec")  # the first call makes the types of all syntax trees


def start(settings, code):
    """(function that a forked child goes on with, function that gives its argument and returns in a child alone)."""
    prepare(settings)
    child = {"__name__": "sandbox"}
    exec(code, child)
    server = Server(settings, child)
    gc.collect()
    gc.freeze()
    gc.disable()
    # With a trace function tests could be made to skip lines; any call back from the tests could change them.
    del sys.settrace, sys.setprofile, sys.addaudithook, gc.callbacks, gc.unfreeze
    return child["run_apart"], server.serve
