"""Parts from other people's packages, named by entry points. Installed packages are trusted.

=====================  ===========================================  ==================================================
group                  the entry point is                           used as
=====================  ===========================================  ==================================================
``fomo.methods``       a subclass of ``fomo.Method``                ``GROUP=NAME``, its ``group``, and ``method=NAME``
``fomo.merges``        a merging rule, or a row of them             ``merging.technique=NAME``
``fomo.schedules``     a function of a ``fomo.Position``            ``schedule=NAME``
``fomo.datasets``      a function that returns a dataset           in lists of datasets
``fomo.orderings``     a function of concepts, seed and facts       ``stream.ordering=NAME``
``fomo.loggers``       a subclass of ``fomo.Logger``                ``log=NAME``
``fomo.metrics``       a function of a run's ``Scores``             ``--metrics NAME``, as of ``fomo score``
``fomo.tuners``        an engine: :class:`fomo.tuning.tuner.Tuner`  ``tuner=NAME`` of ``fomo tune``
``fomo.prompts``       a function that proposes prompt templates    ``--proposer NAME`` of ``fomo prompts search``
=====================  ===========================================  ==================================================

Metadata is read once; a plug-in's code is imported when it is named. Its name must not be one that is built in.
"""

import inspect
import linecache
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from fomo.errors import FomoError, check_choice, close_to
from fomo.loggers.logger import Logger
from fomo.results import measures

OF_RUNS = ("methods", "merges", "schedules", "datasets", "orderings", "loggers")
"""Those that a configuration names; metrics are of results, engines propose runs, and prompts are for evaluations."""
KINDS = (*OF_RUNS, "metrics", "tuners", "prompts")
PARTS = ("trainable", "modulation", "regularizer", "merging", "diagnostics", "activations")
KEPT = ("flops", "state_dict", "load_state_dict")
"""Functions of a method that only tell of what the others do."""


@dataclass(frozen=True)
class Plugin:
    """An installed entry point; ``kind`` is its group without ``fomo.``."""

    kind: str
    name: str
    entry: EntryPoint

    @property
    def target(self) -> str:
        """What it names, dotted, as a ``_target_``."""
        return self.entry.value.split("[")[0].strip().replace(":", ".")

    @property
    def package(self) -> str:
        """The package that brings it, and its version."""
        return f"{self.entry.dist.name} {self.entry.dist.version}" if self.entry.dist else "?"

    def __str__(self) -> str:
        return f"plug-in fomo.{self.kind} '{self.name}' of {self.package}"

    def load(self) -> Any:
        """Import it; a metric becomes a :class:`fomo.results.measures.Metric`.

        Raises:
            FomoError: it cannot be imported, or is not what its group asks for.
        """
        if self.kind == "metrics":
            return measures.chosen([self.name])[0]
        try:
            found = self.entry.load()
        except Exception as error:  # whatever its module raises
            raise FomoError(f"{self}: {self.entry.value} cannot be imported: {described(error)}.") from error
        if self.kind == "methods":
            check_method(found, str(self))
        elif self.kind == "loggers" and not (inspect.isclass(found) and issubclass(found, Logger)):
            raise FomoError(f"{self}: {self.entry.value} is not a subclass of fomo.Logger: derive it.")
        elif self.kind != "merges" and not callable(found):
            raise FomoError(f"{self}: {self.entry.value} is of type {type(found).__name__}, not a function.")
        return found


_lent: list[Plugin] = []
"""Classes that take part in the run at hand; see :func:`lent`."""


def target_of(found: type) -> str:
    """A class as a ``_target_``."""
    return f"{found.__module__}.{found.__qualname__}"


@contextmanager
def lent(classes: Sequence[Any]) -> Iterator[None]:
    """While open, subclasses of ``fomo.Method`` are plug-ins under their own names: whoever hands one over trusts it.

    Raises:
        FomoError: one keeps not to the contract, or lies inside a function, where a configuration cannot name it.
    """
    for each in classes:
        check_method(each, repr(each))
        if "<locals>" in each.__qualname__:
            raise FomoError(f"{each.__name__} is defined inside of a function: define it at the top of its file.")
    before = list(_lent)
    entries = ((each.__name__, f"{each.__module__}:{each.__qualname__}", "fomo.methods") for each in classes)
    _lent.extend(Plugin("methods", entry[0], EntryPoint(*entry)) for entry in entries)
    installed.cache_clear()
    try:
        yield
    finally:
        _lent[:] = before
        installed.cache_clear()


@cache
def installed() -> tuple[Plugin, ...]:
    """All plug-ins, by kind and name.

    Raises:
        FomoError: two packages give one name.
    """
    plugins = [Plugin(kind, each.name, each) for kind in KINDS for each in entry_points(group=f"fomo.{kind}")] + _lent
    unique: dict[tuple[str, str], Plugin] = {}
    for plugin in plugins:
        other = unique.setdefault((plugin.kind, plugin.name), plugin)
        if other.entry.value != plugin.entry.value:
            raise FomoError(f"{other} and {plugin} have one name: uninstall one of them.")
    return tuple(unique.values())


def named(kind: str, builtin: Iterable[str] = ()) -> dict[str, Plugin]:
    """The installed plug-ins of one of :data:`KINDS`, by name; nothing of theirs is imported before ``load()``.

    Raises:
        FomoError: a plug-in has a name in ``builtin``, or two packages bring one name.
    """
    found = {plugin.name: plugin for plugin in installed() if plugin.kind == kind}
    for name in sorted(found.keys() & set(builtin)) if found else ():
        raise FomoError(f"{found[name]}: the name is built in. Uninstall the package, or rename its entry point.")
    return found


def trusted(target: str) -> bool:
    """Whether an installed entry point names exactly this."""
    return any(plugin.target == target for plugin in installed() if plugin.kind != "metrics")


def check_method(found: Any, origin: str) -> None:
    """Refuse what is no subclass of ``fomo.Method``, has no hook, or one that cannot be called as the loop calls it."""
    from fomo.method import HOOKS, Method

    if not (inspect.isclass(found) and issubclass(found, Method)):
        what = f"the class {found.__qualname__}" if inspect.isclass(found) else f"of type {type(found).__name__}"
        raise FomoError(
            f"{origin} is {what}, not a subclass of fomo.Method: derive it, and override the hooks you need."
        )
    for hook, arguments in HOOKS.items():
        _check_hook(found, hook, arguments, origin)
    check_choice(f"value of {found.__name__}.group", found.group, PARTS)
    _check_names(found, origin)


def _check_names(found: type, origin: str) -> None:
    """Refuse what is near to a name of ``fomo.Method`` and is none, and a class of which nothing would be called."""
    from fomo.method import HOOKS, Method

    own = {
        name: value
        for kind in reversed(found.__mro__)
        if kind not in Method.__mro__
        for name, value in vars(kind).items()
        if not name.startswith("_")
    }
    attributes = [name for name in vars(Method) if not name.startswith("_") and name not in HOOKS]
    settings = getattr(found, "__dataclass_fields__", {})
    for name, value in own.items():
        is_function = callable(value) or isinstance(value, (property, staticmethod, classmethod))
        meant = "the hook " if is_function else ""
        near = None if name in settings or hasattr(Method, name) else _near(name, HOOKS if is_function else attributes)
        if near:
            raise FomoError(f"{origin}: nobody calls {found.__name__}.{name}. Did you mean {meant}'{near}'?")
    called = [hook for hook in HOOKS if hook not in KEPT]
    if found is not Method and all(getattr(found, hook) is getattr(Method, hook) for hook in called):
        tries = ", ".join(f"'{name}'" for name, value in own.items() if callable(value) and name not in KEPT)
        nobody = f" Nobody calls {tries}." if tries else ""
        raise FomoError(
            f"{origin}: {found.__name__} overrides no hook, so it would do nothing.{nobody} Hooks: {', '.join(called)}."
        )


def _near(name: str, allowed: Iterable[str]) -> str | None:
    """The allowed name that a name is a slip for: a letter or two, or its words in another order."""
    swapped = {tuple(sorted(each.split("_"))): each for each in allowed}
    return swapped.get(tuple(sorted(name.split("_")))) or close_to(name, allowed, cutoff=0.85)


def _check_hook(found: type, hook: str, arguments: tuple[str, ...], origin: str) -> None:
    function = getattr(found, hook)
    called = f"{hook}({', '.join(arguments)})"
    if not callable(function):
        raise FomoError(
            f"{origin}: {found.__name__}.{hook} is of type {type(function).__name__}, and is called as {called}."
        )
    try:
        inspect.signature(function).bind(None, *arguments)
    except TypeError as error:
        takes = f"{found.__name__}.{hook}{inspect.signature(function)}"
        raise FomoError(f"{origin}: {takes} cannot be called as {called}: {error}.") from None


def defaults_of(target: Any, skip: int = 0) -> dict[str, Any]:
    """The settings of a plug-in as an option holds them: its keyword defaults; ``???`` where it has none."""
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = [each for each in inspect.signature(target).parameters.values() if each.kind not in kinds][skip:]
    return {each.name: "???" if each.default is each.empty else _plain(each.default) for each in parameters}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def described(error: BaseException, near: object = None) -> str:
    """An error in one line, with the line of code that it comes from: the last one of ``near``'s own package."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if Path(each.filename).is_file()]
    folder = _folder(near)
    own = [each for each in frames if folder and Path(each.filename).resolve().is_relative_to(folder)]
    text = " ".join(f"{type(error).__name__}: {error}".split())
    if not frames:
        return text
    last = (own or frames)[-1]
    line = linecache.getline(last.filename, last.lineno or 0).strip()
    return f"{text} ({Path(last.filename).name}, line {last.lineno}: {line})"


def _folder(near: object) -> Path | None:
    try:
        file = inspect.getsourcefile(near)  # type: ignore[arg-type]
    except TypeError:
        return None
    return Path(file).resolve().parent if file else None
