"""Methods and tasks from outside the suite: a Python file, or an entry point of an installed distribution.

How one is written: `docs/adding_a_method.md`. Importing this loads no torch; loading a method does.
"""

from repro.plugins.registry import Kind, add, add_class, ensure, installed, origin, provenance
from repro.plugins.source import distribution

__all__ = ["Kind", "add", "add_class", "distribution", "ensure", "installed", "origin", "provenance"]
