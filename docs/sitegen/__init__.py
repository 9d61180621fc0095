"""Pages of the documentation that are made from the code and the committed tables, so that they cannot drift.

`pages()` needs neither torch nor MkDocs; `docs/hook.py` puts the pages into the site.
"""

from sitegen import claims, cli, methods, tables, tasks


def pages() -> dict[str, str]:
    """Markdown by path within the site, in the order of the navigation."""
    return {**claims.pages(), **methods.pages(), **cli.pages(), **tasks.pages(), **tables.pages()}
