"""The warm interpreter: it forks once per program and reports what became of it. Never imported by the suite.

`box.py` hands this text to `python -c`, so that no file of it can be read inside. It uses the standard library alone.
In the sandbox it is process 1, which no process inside can signal, and kill(-1) from it ends all that is left over.

How an assertion job is kept from reporting a success of its own:
1. The fork returns into `run`, so that no frame above the program holds anything the server knows of the job.
2. Two random tokens exist only on the evaluation stack of `run`, where neither frames nor the garbage collector's
   lists lead to; they answer for "the code has run" and "the tests have run".
3. The server sends the tests only against the first token, and any other bytes on the channel are a forgery.
4. Before the tests run, builtins and modules are put back, and threads left over end the job; nothing can be traced.
"""

import _socket
import _thread
import atexit
import builtins
import functools
import gc
import json
import os
import random
import resource
import select
import signal
import sys
import threading
import time
import types

OUT_OF_MEMORY, FILE_TOO_LARGE, WRONG = 42, 43, 44  # how a child says why it ended; nothing is gained by lying
CHUNK, MOST_VALUE = 1 << 15, 1 << 14
ESSENTIAL = {"__import__", "__build_class__", "__name__", "__debug__"}
KINDS = ASSERTS, STDIO, CALLS = b"a", b"s", b"c"
PRELOADED = """
    abc array bisect cmath collections collections.abc contextlib copy dataclasses datetime decimal enum fractions
    functools heapq io itertools json math numbers operator os.path queue random re statistics string struct textwrap
    threading time types typing
""".split()
# What tests use, so that a changed one must not outlive the code under test.
GUARDED = """
    cmath collections copy functools itertools json math operator os posix random re string sys time types
""".split()


class Server:
    """One sandbox: reads jobs from `jobs`, writes a reply for each to `replies`."""

    def __init__(self, settings):
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
        """In the forked child: limits, descriptors, and the list of what the empty module runs (last entry first)."""
        resource.setrlimit(resource.RLIMIT_CPU, (self.cpu, self.cpu + 1))
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.scratch, self.scratch))
        if not self.boxed:
            os.setpgid(0, 0)  # setsid would make the scheduler set up a group of its own, which is slow
        for number, place in zip(files, (0, 1), strict=False):
            os.dup2(number, place)
            os.close(number)
        gc.enable()
        name = "__main__" if kind == STDIO else "program"
        module = sys.modules[name] = types.ModuleType(name)
        if name != "__main__":
            sys.modules["__main__"] = types.ModuleType("__main__")
        space = vars(module)
        space["__builtins__"] = builtins
        fail = functools.partial(failure, channel)
        if kind == ASSERTS:
            first = functools.partial(run_code, space, source)
            second = functools.partial(run_tests, space, channel, self.real, self.guarded)
            return [first, second, functools.partial(os.write, channel), tokens, fail, os._exit]
        if kind == STDIO:
            return [functools.partial(run_program, space, source), None, None, None, fail, os._exit]
        job = functools.partial(run_calls, space, source, late, channel, self.output)
        return [job, None, None, None, fail, os._exit]

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
            return b"m" if number == signal.SIGKILL else b"e"
        code = os.WEXITSTATUS(status)
        if code in (OUT_OF_MEMORY, FILE_TOO_LARGE, WRONG):
            return {OUT_OF_MEMORY: b"m", FILE_TOO_LARGE: b"o", WRONG: b"w"}[code]
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


def alone():
    """Threads left over could undo what is put back below, so they end the job."""
    if _thread._count():
        raise RuntimeError("threads were left running")


def run_code(space, source):
    """The first half of an assertion job; returns the length of a token, so that a slice of one is all of it."""
    setup, code, keeps = json.loads(source)
    for text, name in ((setup, "<setup>"), (code, "<program>")):
        if text:
            exec(compile(text, name, "exec", 0, True, 0), space)
    alone()
    space["__keeps__"] = keeps
    return 16


def run_tests(space, channel, real, guarded, written):
    """The second half: the tests come only now, and get true builtins and modules.

    Only what the tests name is put back: touching every object of fifteen modules costs a copy of each of their pages.
    """
    pieces = []
    while (piece := os.read(channel, 1 << 16)) != b".":
        if not piece:
            raise RuntimeError("the tests did not come")
        pieces.append(piece)
    text = b"".join(pieces).decode()
    code = compile(text, "<tests>", "exec", 0, True, 0)
    keeps = set(space.pop("__keeps__"))
    tested = {name: value for name, value in space.items() if name not in real or name in keeps or name[:2] == "__"}
    tested["__builtins__"] = {name: real[name] for name in names_in(code) & real.keys() | ESSENTIAL}
    for name, module, known in guarded:
        if name in text:
            sys.modules[name] = module
            vars(module).update(known)
    exec(code, tested)
    alone()
    return 16


def names_in(code):
    """All names that code uses, also in the functions it defines; every builtin if it may compute names."""
    names = set(code.co_names)
    if names & {"eval", "exec", "globals", "getattr", "vars"}:
        return set(dir(builtins))
    for constant in code.co_consts:
        if type(constant) is types.CodeType:
            names |= names_in(constant)
    return names


def run_program(space, source):
    code = 0
    try:
        exec(compile(source.decode(), "<program>", "exec", 0, True, 0), space)
    except SystemExit as ending:
        code = 0 if ending.code in (None, 0) else 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    if code:
        raise RuntimeError("the program ended with an exit code other than 0")


def run_calls(space, source, expressions, channel, most):
    exec(compile(source.decode(), "<program>", "exec", 0, True, 0), space)
    for text in json.loads(expressions):
        try:
            value = eval(compile(text, "<expression>", "eval", 0, True, 0), space)
            found = b"=" + plain(value).encode("utf-8", "backslashreplace")
        except MemoryError:
            raise
        except BaseException as error:
            found = b"-" + describe(error)
        os.write(channel, found if len(found) <= min(most, MOST_VALUE) else b"-ValueError: the value is too long")


def plain(value, depth=0):
    """The repr of a plain value; ValueError for any other."""
    kind = type(value)
    if kind in (int, float, str, bool, type(None)):
        return repr(value)
    if depth > 50:
        raise ValueError("nested too deeply")
    if kind is dict:
        return "{" + ", ".join(f"{plain(k, depth + 1)}: {plain(v, depth + 1)}" for k, v in value.items()) + "}"
    if kind is list:
        return "[" + ", ".join([plain(one, depth + 1) for one in value]) + "]"
    if kind is tuple:
        return "(" + ", ".join([plain(one, depth + 1) for one in value]) + (",)" if len(value) == 1 else ")")
    raise ValueError(f"not a plain value: {kind.__name__}")


def describe(error):
    try:
        text = f"{type(error).__name__}: {error}".rstrip(": ")
    except BaseException:
        text = "an exception that cannot be shown"
    return text[:200].encode("utf-8", "backslashreplace").replace(b"\0", b"")


def failure(channel, error):
    """Tell the server why, and by which exit code."""
    os.write(channel, b"!" + describe(error))
    if isinstance(error, MemoryError):
        return OUT_OF_MEMORY
    return WRONG if isinstance(error, AssertionError) else 1


def run(steps):
    """The program, in the child. Never returns."""
    first, second, write, tokens, fail, leave = steps
    code = 1
    try:
        if tokens is None:
            first()
        else:
            pop = tokens.pop
            # Both tokens are on the evaluation stack before anything runs. `first` and `second` are partial objects:
            # a call of a plain function would make the stack visible to gc.get_referents.
            write(pop()[: second(write(pop()[: first()]))])
        code = 0
    except BaseException as error:
        code = fail(error)
    finally:
        leave(code)


def prepare(settings):
    """Limits that hold for the server too, imports, and a heap that forks share."""
    os.register_at_fork = lambda **_: None  # `random` would seed itself in every child; it gets a fixed seed
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
    random.seed(0)
    gc.collect()
    gc.freeze()
    gc.disable()


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    prepare(given)
    run(Server(given).serve())
