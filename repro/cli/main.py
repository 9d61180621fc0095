"""The command `repro`: finds the verb, runs it, and turns every ending into one line and an exit code.

Exit codes: 0 done, 1 a trial failed or a verification found a difference (or a defect), 2 bad input, 130 interrupted.
A verb's module is imported only when that verb is called. `REPRO_DEBUG=1` shows tracebacks.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import shlex
import sys
from collections.abc import Sequence

import repro
from repro.errors import InputError, ReproError

VERBS = {
    "list": "experiments, methods, tasks and claims",
    "new": "the package of a method of your own: code, tests, README",
    "show": "what an experiment is, or the resolved config of an arm",
    "plan": "which trials would run, which are cached, how long it takes, and what it costs",
    "run": "run trials, then write tables, figures and verdicts",
    "evaluate": "measure a checkpoint of yours on a task, recorded like a trial",
    "rescore": "stored completions judged by another checker, with the differences",
    "status": "what is done, running, failed or damaged in a workspace",
    "report": "tables and figures from stored records alone",
    "leaderboard": "arms ranked; add, merge, verify and export trials",
    "compare": "one arm, new or stored, with the stored arms: paired, ranked, with its cost",
    "diff": "what differs between the resolved configs of two arms",
    "clean": "remove checkpoints and locks that no trial needs any more",
    "publish": "maintainers: promote records and regenerate the published folders",
    "verify": "make every committed table, figure and verdict again, and compare",
    "doctor": "versions, hardware, pins, and what is missing",
}

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


class Parser(argparse.ArgumentParser):
    """Bad arguments are bad input like any other: one line, no usage text."""

    def error(self, message: str):
        raise InputError(f"{message} (see {self.prog} --help)")


def build_parser(verb: str | None = None) -> argparse.ArgumentParser:
    """The parser with every verb listed, and the arguments of `verb` alone filled in."""
    parser = Parser(prog="repro", description=repro.__doc__.partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"repro {repro.__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs", parser_class=Parser)
    for name, summary in VERBS.items():
        child = verbs.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        if name == verb:
            module = importlib.import_module(f"repro.cli.{name}")
            child.description = module.__doc__
            child.formatter_class = argparse.RawDescriptionHelpFormatter
            module.add_arguments(child)
            child.set_defaults(call=module.main)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code and never raises, unless REPRO_DEBUG is set."""
    argv = list(sys.argv[1:] if argv is None else argv)
    debug = os.environ.get("REPRO_DEBUG", "") not in ("", "0")
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors in ("strict", "surrogateescape"):
        # What a terminal cannot show is escaped, as on stderr.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return _run(argv)
    except ReproError as error:
        if debug:
            raise
        return _say(str(error), BAD_INPUT if isinstance(error, InputError) else FAILED)
    except KeyboardInterrupt as error:
        return _say(str(error) or "interrupted", INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output is gone (as with `| head`); nothing may be written to it at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except OSError as error:
        if debug:
            raise
        where = f"{error.filename}: " if error.filename else ""
        return _say(f"{where}{error.strerror or error}", BAD_INPUT)
    except Exception as error:
        if debug:
            raise
        return _say(f"unexpected {type(error).__name__}: {error} (REPRO_DEBUG=1 shows where)", FAILED)


def _run(argv: list[str]) -> int:
    verb = next((word for word in argv if not word.startswith("-")), None)
    if verb is not None and verb not in VERBS:
        from repro.experiments.registry import suggest

        raise InputError(f"unknown verb {verb!r}: {suggest(verb, VERBS)}")
    parser = build_parser(verb)
    try:
        args = parser.parse_args(argv)
    except SystemExit as error:  # --help and --version
        return int(error.code or 0)
    if args.verb is None:
        parser.print_help()
        return DONE
    args.command_line = shlex.join(["repro", *argv])
    return args.call(args)


def _say(message: str, code: int) -> int:
    # A message may quote a file from outside: what would steer the terminal is not handed on.
    line = "".join(sign if sign.isprintable() else "?" for sign in " ".join(message.split()))
    print(f"repro: {line}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
