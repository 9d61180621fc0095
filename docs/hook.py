"""MkDocs: put generated pages and committed figures into the site, and check that it loads nothing from elsewhere.

`mkdocs build --strict` runs it (see mkdocs.yml); the pages themselves are made in `docs/sitegen`.
"""

from __future__ import annotations

from pathlib import Path

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File
from sitegen import pages
from sitegen.links import COPIED, for_site
from sitegen.outside import remote
from sitegen.results import more
from sitegen.words import ROOT


def on_config(config):
    """A section of the navigation that is a folder (`methods/`) becomes its generated pages."""
    made = list(pages())
    for section in config.nav:
        for name, content in section.items():
            if isinstance(content, str) and content.endswith("/"):
                section[name] = [page for page in made if page.startswith(content)]
    config.watch += [str(ROOT / name) for name in ("repro", "paper_tables", *COPIED)]
    return config


def on_files(files, config):
    for path, text in pages().items():
        files.append(File.generated(config, path, content=text))
    for name, path in COPIED.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, path, content=for_site(text, name)))
    for picture in sorted((ROOT / "figures").glob("*.png")):
        files.append(File.generated(config, f"figures/{picture.name}", abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown, page, config, files):
    source = Path(page.file.abs_src_path or "")
    if not source.is_relative_to(ROOT / "docs"):
        return markdown
    text = for_site(markdown, source.relative_to(ROOT).as_posix())
    return text + more(source.stem, text) if source.parent.name == "results" else text


def on_post_build(config):
    if found := remote(Path(config.site_dir)):
        raise PluginError("the site would load from elsewhere: " + "; ".join(found))
