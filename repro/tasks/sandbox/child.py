"""What a forked child does: the program of one job. Never imported by the suite; see `server.py`.

How an assertion job is kept from reporting a success of its own:
1. The fork returns from the server into `run`, so that no frame above the program holds anything the server knows; the
   server itself is an object that nothing leads to.
2. Two random tokens, and what will run the tests, exist only on the evaluation stack of `run`, where neither frames
   nor the garbage collector's lists lead to. The tokens answer for "the code has run" and "the tests have run".
3. The server sends the tests only against the first token, and any other bytes on the channel are a forgery.
4. What runs after the program has builtins and globals of its own (`separate`); the tests get true builtins and
   modules; threads left over end the job; nothing can be traced, and no signal or profiler calls the program back.
"""

import _signal
import _thread
import atexit
import builtins
import functools
import marshal
import os
import sys
import threading
import types

OUT_OF_MEMORY, WRONG = 42, 44  # how a child says why it ended; nothing is gained by lying
MOST_VALUE = 1 << 14
ESSENTIAL = {"__import__", "__build_class__", "__name__", "__debug__"}


def separate(function):
    """The function with builtins and globals of its own: frames of another function do not lead to what it uses.

    What it needs beyond builtins comes as arguments.
    """
    space = {"__builtins__": dict(vars(builtins)), "__name__": "sandbox"}
    return types.FunctionType(function.__code__, space, function.__name__, function.__defaults__)


def run_code(tools, space, source):
    """The first half of an assertion job; returns the length of a token, so that a slice of one is all of it."""
    loads, profile, mask, signals = tools
    setup, code, keeps = loads(source)
    for text, name in ((setup, "<setup>"), (code, "<program>")):
        if text:
            exec(compile(text, name, "exec", 0, True, 0), space)
    space["__keeps__"] = keeps
    profile(None)
    mask(0, signals)  # 0: block them
    return 16


def run_tests(tools, space, channel, real, guarded, written):
    """The second half: the tests come only now, and get true builtins and modules.

    Only what the tests name is put back: touching every object of fifteen modules costs a copy of each of their pages.
    """
    read, loads, threads, modules, essential, others = tools
    # Threads left over could undo what is put back below, or what the tests find.
    if threads():
        raise RuntimeError("threads were left running")
    pieces = [read(channel, 1 << 16)]
    while pieces[-1][:1] == b"+":
        pieces.append(read(channel, 1 << 16))
    if not pieces[-1]:
        raise RuntimeError("the tests did not come")
    code, names, used = loads(b"".join([piece[1:] for piece in pieces]))
    keeps = space.pop("__keeps__")
    tested = dict(space)
    for name in tested.keys() & others:
        if name not in keeps:
            del tested[name]
    tested["__builtins__"] = known = dict(essential)
    for name in names:
        if name in real:
            known[name] = real[name]
    for name in used:
        modules[name], known = guarded[name]
        vars(modules[name]).update(known)
    exec(code, tested)
    if threads():
        raise RuntimeError("threads were left running")
    return 16


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


def run_calls(space, channel, most, source, expressions):
    exec(compile(source.decode(), "<program>", "exec", 0, True, 0), space)
    for text in marshal.loads(expressions):
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


def failure(tools, channel, error):
    """Tell the server why, and by which exit code."""
    write, describe, out_of_memory, wrong = tools
    write(channel, b"!" + describe(error))
    if isinstance(error, MemoryError):
        return out_of_memory
    return wrong if isinstance(error, AssertionError) else 1


def run(steps):
    """The program, in the child. Never returns."""
    fail, leave, pop, code = steps.pop(), steps.pop(), steps.pop, 1
    try:
        if len(steps) == 1:
            pop()()
        else:
            # write(token[: tests(write(token[: code()]))]): all six are on the evaluation stack before `code` runs. It
            # and `tests` are partial objects: a call of a plain function would show the stack to gc.get_referents.
            pop()(pop()[: pop()(pop()(pop()[: pop()()]))])
        code = 0
    except BaseException as error:
        code = fail(error)
    finally:
        leave(code)


# Made before the first fork, of functions no program can have changed yet.
run_apart = separate(run)
fail_apart = functools.partial(separate(failure), (os.write, separate(describe), OUT_OF_MEMORY, WRONG))
code_apart = functools.partial(
    separate(run_code), (marshal.loads, sys.setprofile, _signal.pthread_sigmask, tuple(_signal.valid_signals()))
)
tests_apart = functools.partial(
    separate(run_tests),
    (
        os.read, marshal.loads, _thread._count, sys.modules, {name: vars(builtins)[name] for name in ESSENTIAL},
        {name for name in vars(builtins) if name[:2] != "__"},
    ),
)  # fmt: skip
