"""The program of one answer worker: compares symbolic answers with math-verify until stdin ends.

It is started by its path (`workers.py`), not imported: it must see neither the parent's modules nor its torch.
Walls, in the order in which a hostile text meets them: the parent sends only short, filtered LaTeX; sympy's string
evaluator is replaced by one that takes nothing but numbers and bare names; starting a program, opening a socket or
writing a file fails; memory is limited; and a timer of the kernel ends the process if it overruns, also when its parent
is gone.

Protocol: the worker writes "r" when ready or "!" and a line if math-verify cannot be imported. Request: a JSON line
{"gold", "answer", "seconds"}. Reply: one letter of `repro.tasks.outcome.Outcome`.
"""

import json
import logging
import os
import re
import resource
import signal
import sys

MEMORY = 3 * 2**30  # bytes of address space; math-verify itself needs about 0.3 GiB
GRACE = 1.0  # seconds after the deadline in which the parent should have killed us


def wall_in():
    """Make it impossible, from here on, to start programs, open sockets or write files, or to evaluate names."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    from sympy.parsing import sympy_parser

    evaluate = sympy_parser.parse_expr
    harmless = re.compile(r"[A-Za-z]{1,8}|[0-9+*/(). -]{1,100}")  # a bare name cannot be called

    def parse_expr(text, *arguments, **options):
        if not isinstance(text, str) or not harmless.fullmatch(text):
            raise ValueError("refused")
        return evaluate(text, *arguments, **options)

    sympy_parser.parse_expr = parse_expr
    forbidden = ("subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "pty.", "socket.",
                 "os.remove", "os.rename", "os.rmdir", "os.chmod", "os.truncate", "shutil.")  # fmt: skip

    def audit(event, _):
        if event.startswith(forbidden):
            raise PermissionError(event)

    sys.addaudithook(audit)


def close(gold, answer):
    """False only where two real numbers differ within 4 significant digits, which rounding to 6 decimals can hide."""
    try:
        first, second = float(gold), float(answer)
    except (TypeError, ValueError, AttributeError):
        return True  # not two real numbers
    return abs(first - second) <= 1e-4 * abs(first)


def compare(gold, answer, parse, verify, config):
    """One of "c", "w", "u"; "u" where either side is not an expression math-verify can read."""
    golds, answers = (
        parse(f"${text}$", extraction_config=config, fallback_mode="no_fallback", parsing_timeout=None)
        for text in (gold, answer)
    )
    if not golds or not answers:
        return "u"
    return "c" if verify(golds, answers, timeout_seconds=None) and close(golds[0], answers[0]) else "w"


def main():
    replies = os.dup(1)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business: it closes our stdin
    try:
        from math_verify import LatexExtractionConfig, parse, verify

        config = [LatexExtractionConfig()]
        wall_in()
        warm = compare("x^2+1", "1+x^2", parse, verify, config)  # sympy loads much of itself on first use
        if warm != "c":
            raise RuntimeError("math-verify cannot compare x^2+1 with 1+x^2")
    except Exception as error:
        os.write(replies, f"!{type(error).__name__}: {error}\n".encode()[:500])
        return
    os.write(replies, b"r")
    for line in sys.stdin:
        request = json.loads(line)
        signal.setitimer(signal.ITIMER_REAL, request["seconds"] + GRACE)
        try:
            reply = compare(request["gold"], request["answer"], parse, verify, config)
        except Exception:  # MemoryError and RecursionError included: the worker goes on
            reply = "u"
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.write(replies, reply.encode())


if __name__ == "__main__":
    main()
