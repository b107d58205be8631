"""MkDocs hook that writes ``reference/``: a page for each room with public names, from their docstrings."""

from pathlib import Path

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

SOURCE = Path(__file__).resolve().parent.parent / "src"


def public_names() -> dict[str, list[str]]:
    """Public names by room, as the package's ``__init__`` imports them for type checkers."""
    package = griffe.load("crossmargin", search_paths=[SOURCE], submodules=False)
    rooms: dict[str, list[str]] = {}
    for name in sorted(str(name) for name in package.exports or ()):
        member = package.members[name]
        if isinstance(member, griffe.Alias) and not name.startswith("__"):
            rooms.setdefault(member.target_path.split(".")[1], []).append(name)
    return rooms


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Files with the reference pages added."""
    rooms = public_names()
    listing = "".join(
        f"- [{room}]({room}.md): {', '.join(f'`{name}`' for name in names)}\n" for room, names in sorted(rooms.items())
    )
    index = f"# Reference\n\nThe public names of `crossmargin`, by the room that they come from.\n\n{listing}"
    files.append(File.generated(config, "reference/index.md", content=index))
    for room, names in rooms.items():
        entries = "\n\n".join(f"::: crossmargin.{name}" for name in names)
        files.append(File.generated(config, f"reference/{room}.md", content=f"# {room}\n\n{entries}\n"))
    return files
