"""The code of a script or a notebook, which no module file holds: what a class is made of there."""

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

from fomo.errors import FomoError

SCRIPT = "__main__"
PLAIN = (int, float, str, bytes, bool, tuple, type(None))


def script_parts(name: str) -> tuple[dict[str, str], set[str]]:
    """What ``name``, a class or function of the script that runs, is made of there, and the modules it imports from.

    Functions and classes count by their text, plain values by what they are.

    Raises:
        FomoError: the text cannot be had, as of what was typed into a bare interpreter.
    """
    values = vars(sys.modules[SCRIPT])
    waiting = [name.split(".")[0]]
    parts: dict[str, str] = {}
    modules: set[str] = set()
    while waiting:
        each = waiting.pop()
        if each in parts or each not in values:
            continue
        value = values[each]
        home = value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", None)
        parts[each] = "\n".join(_texts(each, value))
        if home == SCRIPT:
            waiting += _names(parts[each])
        elif isinstance(home, str):
            modules.add(home)
    return parts, modules


def _texts(name: str, value: Any) -> Iterator[str]:
    """The text of a function, or of every function of a class and its plain values; of a plain value what it is."""
    if isinstance(value, PLAIN):
        yield repr(value)
    if getattr(value, "__module__", None) != SCRIPT:
        return
    if inspect.isclass(value):
        yield f"class {name}({', '.join(base.__name__ for base in value.__bases__)}): pass"
        for inner, attribute in vars(value).items():
            plain = inspect.unwrap(getattr(attribute, "__func__", attribute))
            if inspect.isfunction(plain):
                yield _source(plain)
            elif isinstance(attribute, PLAIN) and not inner.startswith("__"):
                yield f"{inner} = {attribute!r}"
    elif inspect.isfunction(inspect.unwrap(value)):
        yield _source(inspect.unwrap(value))


def _source(function: Any) -> str:
    try:
        return textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        where = f"{SCRIPT}.{function.__qualname__}"
        raise FomoError(
            f"{where}: its text is not there, so that a result could not rest on it. Put it in a file."
        ) from None


def _names(text: str) -> list[str]:
    return [node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)]
