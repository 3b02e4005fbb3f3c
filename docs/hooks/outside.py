"""mkdocs hook: pages outside docs/, and files that pages link to there, are part of the site.

Links stay as GitHub reads them, relative to the file; here they are turned to where the site has it.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

DOCS = "docs"
PAGES = ("benchmarks/README.md", "CHANGELOG.md")
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)")  # the path in [text](path#anchor)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of PAGES, and each file outside docs/ that a page links to."""
    root = Path(config.config_file_path).parent
    for name in PAGES:
        files.append(_outside(config, root, name))
    for page in list(files.documentation_pages()):
        for link in LINK.findall(page.content_string):
            name = _place(page, link)
            if files.get_file_from_path(name) is None and (root / name).is_file():
                files.append(_outside(config, root, name))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links."""
    folder = posixpath.dirname(page.file.src_uri)
    return LINK.sub(lambda link: posixpath.relpath(_place(page.file, link[1]), folder or "."), markdown)


def _outside(config: MkDocsConfig, root: Path, name: str) -> File:
    return File.generated(config, name, abs_src_path=str(root / name))


def _place(page: File, link: str) -> str:
    """Where the site has what a page links to: docs/x as x, all else by its path in the repository."""
    source = page.src_uri if page.generated_by else f"{DOCS}/{page.src_uri}"
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    return posixpath.relpath(path, DOCS) if path.startswith(f"{DOCS}/") else path
