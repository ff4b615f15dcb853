"""``fomo.run``: an experiment from Python."""

from collections.abc import Sequence

from fomo.config import plugins
from fomo.config.compose import compose
from fomo.config.schema import resolve
from fomo.errors import FomoError
from fomo.method import Method
from fomo.results.run import Run, load
from fomo.running.folder import begun_again
from fomo.running.run import Audience, Nobody, complete
from fomo.system.signals import Stop
from fomo.system.torchrun import are_several


def run(overrides: Sequence[str] = (), parts: Sequence[type[Method]] = (), audience: Audience | None = None) -> Run:
    """Run one experiment in its folder, and return its results; a finished one is only read.

    An interrupt ends it as it ends ``fomo run``: what is done is kept, and the same call goes on.

    Args:
        overrides: As on the command line: ``["method=ewc", "seed=1"]``.
        parts: Classes that take part in it: each is the option of its ``group`` that has the class's name, as if a
            package had brought it, and is chosen. Its settings are ``GROUP.KEY=VALUE``.
        audience: Who hears how far it is; by default nobody.

    Raises:
        FomoError: what ``fomo run`` refuses, in the same words.
    """
    if isinstance(overrides, str):
        raise FomoError(f"overrides are a list of texts: fomo.run(['{overrides}']).")
    if are_several():
        raise FomoError("fomo.run is the work of one process: torchrun is for `python -m fomo run`.")
    with plugins.lent(parts), Stop().listening() as stop:
        values = compose([*(f"{part.group}={part.__name__}" for part in parts), *overrides])
        for part in parts:
            chosen = values[part.group]["_target_"]
            if chosen != plugins.target_of(part):
                raise FomoError(f"{part.__name__} is among parts, and {part.group} is {chosen}: leave one of them out.")
        resolved = begun_again(resolve(values), reserve=False)
        return load(complete(resolved, audience or Nobody(), stop))
