"""Write the package of a new method, ready to edit and to run: REINFORCE with a baseline, its tests, its README.

JSON keys: name, folder, files [paths].
"""

from __future__ import annotations

from pathlib import Path

from repro import plugins
from repro.cli.common import add_json, print_json


def add_arguments(parser) -> None:
    parser.add_argument("kind", choices=("method",), metavar="KIND", help="method")
    parser.add_argument("name", metavar="NAME", help="of its folder, module and arm: lower-case letters, digits, _")
    parser.add_argument("--dir", type=Path, default=Path(), metavar="DIR", help="where the folder goes (default: here)")
    add_json(parser)


def main(args) -> int:
    from repro.methods.catalogue import METHODS
    from repro.skeleton import write_method

    files = write_method(args.name, args.dir.expanduser(), {*METHODS, *plugins.installed("method")})
    folder = args.dir.expanduser() / args.name
    if args.json:
        print_json({"name": args.name, "folder": str(folder), "files": list(map(str, files))})
        return 0
    print(f"wrote {', '.join(str(path) for path in files)}")
    print(f"next: cd {folder} && pytest && repro run table1 --scale smoke --method {args.name}.py")
    return 0
