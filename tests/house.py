"""How far the code makes a reader walk, counted: ``python -m tests.house``, or ``python tests/house.py CHECKOUT``.

- A function's *way*: its own module, and those of ours that the code reached from it inside of its file names. It is
  what a reader has to open to follow the function.
- A method's way: the files on the stack when its name is read, when it is built, and when a hook of it is called, from
  the command's file on; the configuration files and the method's own file, where the way ends, are not counted.
- Statements of the syntax tree without docstrings; ``a, b = x, y`` is two assignments.
"""

import ast
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

TOP = Path(__file__).parents[1]
PACKAGES = ("fomo", "methods", "streams")
STARTS = {
    "execute": (("fomo/running/run.py", "fomo/run.py"), "execute"),
    "prepare": (("fomo/running/run.py", "fomo/prepared.py"), "prepare"),
}
"""Where each way starts: the file today, and where it was when the counting began."""
TRACED = """
import contextlib, io, os, sys
top = os.getcwd() + os.sep
ends = {"_chosen": "read", "__init__": "built", "end_task": "called"}
stacks = {}

def traced(frame, event, argument):
    name, file = frame.f_code.co_name, frame.f_code.co_filename
    home = "methods/merging/temporal.py" if name != "_chosen" else "compose.py"
    if event != "call" or name not in ends or ends[name] in stacks or not file.endswith(home):
        return
    files = []
    while frame:
        files.append(frame.f_code.co_filename)
        frame = frame.f_back
    stacks[ends[name]] = [file.removeprefix(top) for file in files if file.startswith(top)]

from fomo.cli.run import main
sys.setprofile(traced)
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    main(sys.argv[1:])
sys.setprofile(None)
print("|".join(sorted({file for stack in stacks.values() for file in stack})))
"""
RUN = (
    "method=ema_merge",
    "stream.adaptation=[pocket_flags,pocket_solids]",
    "stream.retention=[pocket_counting]",
    "stream.pool_size=500",
    "num_tasks=2",
    "batch_size=24",
    "budget=steps",
    "budget.steps=2",
)


def way(path: Path, start: str) -> set[str]:
    """The modules on the way of a function, its own included."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = next((folder for folder in path.parents if (folder / "fomo").is_dir()), path.parent)
    imported = dict(_imports(tree, top))
    defined = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    waiting = [start]
    reached: set[str] = set()
    modules = {path.stem}
    while waiting:
        name = waiting.pop()
        if name in imported:
            modules.add(imported[name])
        elif name in defined and name not in reached:
            reached.add(name)
            waiting += [node.id for node in ast.walk(defined[name]) if isinstance(node, ast.Name)]
    return modules


def _imports(tree: ast.Module, top: Path) -> Iterator[tuple[str, str]]:
    """Each imported name of ours, and the module that it is of, or is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in PACKAGES:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                is_module = (top / inner.replace(".", "/")).with_suffix(".py").is_file()
                yield alias.asname or alias.name, inner if is_module else node.module


def files_of_a_method(top: Path) -> list[str]:
    """The files on a method's way, without its own."""
    environment = {**os.environ, "PYTHONPATH": str(top)}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", TRACED, *RUN, f"run.dir={folder}/run"]
        ran = subprocess.run(command, cwd=top, env=environment, capture_output=True, text=True, check=True)
    files = ran.stdout.strip().split("|")
    return [file for file in files if file.startswith("fomo/") and file != "fomo/cli/__init__.py"]


def statements(top: Path) -> int:
    """Statements of the three packages."""
    return sum(
        _statements(ast.parse(path.read_text(encoding="utf-8"))) for p in PACKAGES for path in (top / p).rglob("*.py")
    )


def _statements(tree: ast.Module) -> int:
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
    docstrings = sum(
        isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant) and isinstance(n.value.value, str) for n in nodes
    )
    pairs = [
        n.value.elts
        for n in nodes
        if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Tuple) and isinstance(n.value, ast.Tuple)
    ]
    return len(nodes) - docstrings + sum(len(pair) - 1 for pair in pairs)


def main(top: Path) -> None:
    """Print the counts of a checkout."""
    for name, (places, start) in STARTS.items():
        path = next(top / place for place in places if (top / place).is_file())
        modules = way(path, start)
        print(f"{name}: {len(modules)} modules: {', '.join(sorted(modules))}")
    files = files_of_a_method(top)
    print(f"a method's name to its hook: {len(files)} files: {', '.join(files)}")
    print(f"statements: {statements(top):,}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else TOP)
