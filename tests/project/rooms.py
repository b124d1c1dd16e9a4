"""The packages and who imports whom, as a Mermaid graph in docs/structure.md: `make structure`."""

import ast
import re

import grimp

from inr.storage.provenance import ROOT

PAGE = ROOT / "docs" / "structure.md"
PACKAGES = ("inr", "jobs", "slurm", "postprocess")
_BLOCK = re.compile(r"(?<=```mermaid\n).*?(?=```)", re.DOTALL)


def rooms() -> list[str]:
    """Every package that is imported as one: `slurm`, and those below the other three."""
    return sorted(
        path.parent.relative_to(ROOT).as_posix().replace("/", ".")
        for package in PACKAGES
        for path in (ROOT / package).rglob("__init__.py")
        if path.parent.parent != ROOT or package == "slurm"
    )


def named_by(room: str) -> list[str]:
    """The modules that the ``__all__`` of a package names for others."""
    tree = ast.parse((ROOT / room.replace(".", "/") / "__init__.py").read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    (names,) = (ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign))
    return list(names)


def import_graph() -> grimp.ImportGraph:
    """All imports of the product, those inside functions too."""
    return grimp.build_graph(*PACKAGES, cache_dir=None)


def arrows(graph: grimp.ImportGraph) -> list[tuple[str, str]]:
    """Who imports whom, without arrows that follow from others."""
    names = rooms()

    def room_of(module: str) -> str | None:
        return next((name for name in names if f"{module}.".startswith(f"{name}.")), None)

    direct: dict[str, set[str]] = {name: set() for name in names}
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            above, below = room_of(module), room_of(imported)
            if above and below and above != below:
                direct[above].add(below)

    def reach(name: str) -> set[str]:
        return direct[name].union(*(reach(below) for below in direct[name]))

    return [
        (name, below)
        for name in names
        for below in sorted(direct[name])
        if not any(below in reach(other) for other in direct[name] - {below})
    ]


def mermaid() -> str:
    """The graph, a box for each of the four top-level packages."""
    lines = ["flowchart TD"]
    for package in PACKAGES:
        lines.append(f"  subgraph {package}_[{package}]")
        lines += [
            f"    {name}[{name.rpartition('.')[2]}]"
            for name in rooms()
            if name.split(".")[0] == package
        ]
        lines.append("  end")
    lines += [f"  {above} --> {below}" for above, below in arrows(import_graph())]
    return "\n".join(lines) + "\n"


def with_graph(text: str) -> str:
    """The page with the graph of today."""
    return _BLOCK.sub(lambda _: mermaid(), text)


if __name__ == "__main__":
    PAGE.write_text(with_graph(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
