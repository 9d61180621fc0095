"""Check versions against the tested pins, hardware, write access, disk space and optional parts. Works without torch.

JSON keys: checks [{name, status, detail}] with status "ok", "warn" or "missing"; ok (false if something needed is
missing; the exit code is then 1).
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from repro.cli.common import add_json, add_root, columns, print_json
from repro.store import project

NEEDED = ("torch", "trl", "transformers", "accelerate", "numpy", "matplotlib", "rich")
EXTRAS = {"test": ("pytest", "hypothesis"), "vllm": ("vllm",), "docs": ("mkdocs-material",), "LoRA": ("peft",)}
FREE_GIB = 5


@dataclass(frozen=True)
class Check:
    name: str
    status: str
    detail: str


def add_arguments(parser) -> None:
    add_root(parser)
    add_json(parser)


def main(args) -> int:
    checks = run(args.root)
    good = not any(check.status == "missing" for check in checks)
    if args.json:
        print_json({"checks": [asdict(check) for check in checks], "ok": good})
    else:
        print(columns([(check.status, check.name, check.detail) for check in checks], ""))
    return 0 if good else 1


def run(root: Path) -> list[Check]:
    gpu = has_gpu()
    return [
        _python(), *_packages(gpu), _cuda_torch(gpu), _hardware(gpu), *_extras(), _git(), _write(root), _disk(root),
        _data(), _sandbox(),
    ]  # fmt: skip


def pins(gpu: bool) -> dict[str, str]:
    """package -> tested version, from the constraints file of the repository or of the installed package."""
    name = "gpu.txt" if gpu else "cpu.txt"
    for folder in (Path(__file__).parents[2], project.installed()):
        file = folder / "constraints" / name
        if file.is_file():
            lines = re.findall(r"(?m)^\s*([A-Za-z0-9_.-]+)==([^\s;#]+)", file.read_text(encoding="utf-8"))
            return {package.lower().replace("_", "-"): version for package, version in lines}
    return {}


def installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def has_gpu() -> bool:
    """An NVIDIA device is visible; asks the driver's files, not torch."""
    return Path("/proc/driver/nvidia/version").exists() or any(Path("/dev").glob("nvidia[0-9]*"))


def torch_cuda() -> str | None:
    """CUDA version the installed torch was built for, read from its version file without importing it; None for CPU."""
    try:
        found = importlib.util.find_spec("torch")
        text = Path(found.origin).with_name("version.py").read_text(encoding="utf-8")
    except (AttributeError, ImportError, OSError, TypeError, ValueError):
        return None
    match = re.search(r"(?m)^cuda\s*(?::[^=]*)?=\s*['\"]([^'\"]+)['\"]", text)
    return match.group(1) if match else None


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check("python", "ok" if sys.version_info >= (3, 11) else "missing", f"{version} (needs 3.11 or newer)")


def _packages(gpu: bool) -> list[Check]:
    tested = pins(gpu)
    checks = []
    for package in NEEDED:
        version, pin = installed(package), tested.get(package)
        if version is None:
            checks.append(Check(package, "missing", "not installed: install repro-bench with its constraints file"))
        elif pin and version.split("+")[0] != pin.split("+")[0]:
            checks.append(Check(package, "warn", f"{version}, but tested with {pin}"))
        else:
            checks.append(Check(package, "ok", version + ("" if pin else " (no pin known)")))
    return checks


def _cuda_torch(gpu: bool) -> Check:
    built = torch_cuda()
    if built and not gpu:
        hint = "install torch from https://download.pytorch.org/whl/cpu to save gigabytes"
        return Check("torch build", "warn", f"torch for CUDA {built}, but no GPU is visible: {hint}")
    if gpu and not built:
        return Check("torch build", "warn", "a GPU is visible, but this torch has no CUDA: it will not be used")
    return Check("torch build", "ok", f"CUDA {built}" if built else "CPU")


def _hardware(gpu: bool) -> Check:
    from repro.store.provenance import cpu_model, usable_cores

    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (ValueError, OSError):
        memory = float("nan")
    device = "NVIDIA GPU" if gpu else "no GPU"
    detail = f"{usable_cores()} usable cores of {cpu_model()}, {memory:.0f} GiB memory, {device}"
    return Check("hardware", "ok", detail)


def _extras() -> list[Check]:
    checks = []
    for name, packages in EXTRAS.items():
        absent = [package for package in packages if installed(package) is None]
        detail = f"not installed: {', '.join(absent)}" if absent else ", ".join(f"{p} {installed(p)}" for p in packages)
        checks.append(Check(f"optional: {name}", "warn" if absent else "ok", detail))
    return checks


def _git() -> Check:
    git = shutil.which("git")
    return Check("git", "ok" if git else "warn", git or "not found: records will not name the commit")


def _write(root: Path) -> Check:
    """Whether the workspace could be written; creates nothing."""
    place = root.expanduser().absolute()
    while not place.exists():
        place = place.parent
    good = place.is_dir() and os.access(place, os.W_OK)
    return Check("workspace", "ok" if good else "missing", f"{root} {'can' if good else 'cannot'} be written")


def _disk(root: Path) -> Check:
    place = root.expanduser().absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / 2**30
    return Check("disk", "ok" if free >= FREE_GIB else "warn", f"{free:.0f} GiB free at {place}")


def _data() -> Check:
    named = os.environ.get("REPRO_DATA_DIR")
    if not named:
        return Check("data", "ok", "real data sets come from the hub (REPRO_DATA_DIR is not set)")
    good = Path(named).is_dir()
    return Check("data", "ok" if good else "warn", f"REPRO_DATA_DIR={named}" + ("" if good else " is not a folder"))


def _sandbox() -> Check:
    """Whether model-written code can be locked in; the probe runs only where bubblewrap is installed."""
    from repro.tasks.sandbox import isolation, unsafe

    if unsafe():
        return Check("sandbox", "warn", "REPRO_UNSAFE_CODE is set: model-written code runs unprotected")
    found = isolation()
    if found.available:
        return Check("sandbox", "ok", found.mechanism)
    return Check("sandbox", "warn", f"{found.missing}: tasks that run code will refuse to, see --unsafe-code")
