"""MkDocs hook that orders the pages: what a reader meets first stands first, and no page is left out."""

from fnmatch import fnmatch
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files

# section -> pages and patterns, in order; what no section names stands at the end of the last
SECTIONS: Final[dict[str, tuple[str, ...]]] = {
    "Start": ("index.md", "quickstart.md"),
    "Concepts": (
        "concepts/equity-and-pools.md",
        "concepts/margin-levels.md",
        "concepts/scenarios.md",
        "concepts/liquidation-price.md",
        "concepts/liquidation.md",
        "concepts/rulebooks.md",
        "concepts/*",
    ),
    "How to": ("how-to/*",),
    "Venues": ("venues/index.md", "venues/reference.md", "venues/*", "conformance.md", "conformance-*"),
    "Families": ("families/index.md", "families/*"),
    "Clearing": ("clearing/*",),
    "Use": ("cli.md", "interchange.md", "glossary.md"),
    "Reference": ("reference/index.md", "reference/*"),
    "Decisions": ("decisions/index.md", "decisions/*"),
    "More": ("*",),
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Files as they are; the navigation is set from them."""
    left = sorted(file.src_uri for file in files.documentation_pages())
    nav: list[dict[str, Any]] = []
    for section, patterns in SECTIONS.items():
        chosen = []
        for pattern in patterns:
            found = [uri for uri in left if fnmatch(uri, pattern)]
            chosen += found
            left = [uri for uri in left if uri not in found]
        if chosen:
            nav.append({section: chosen})
    config.nav = nav
    return files
