"""The help of every command ends with examples, and each of them is a command that is taken as it stands."""

import argparse
import re
import shlex
from collections.abc import Iterator
from importlib import import_module

import pytest

from fomo.cli import COMMANDS
from fomo.cli.verify import parser as verify
from fomo.config.compose import compose
from fomo.config.launching import split
from fomo.config.sweeping import sweep
from fomo.config.tuning import search
from streams.prepare import RECIPES

NO_TABLE = {
    "export": "writes its table into a file",
    "report": "writes a page",
    "completion": "prints a script",
    "stream build": "prints JSON, or writes it into a file",
    "data preview": "draws images",
}
"""Commands without ``--json``, and why."""
OWN = argparse.ArgumentParser.parse_known_args


class Parsed(BaseException):
    """Carries a command's parser and, if words were parsed, what became of them."""


def parsed(words: list[str]) -> argparse.Namespace:
    """The options of a command, which then stops."""
    with pytest.MonkeyPatch.context() as patch:
        whole = (argparse.ArgumentParser.parse_args, argparse.ArgumentParser.parse_intermixed_args)

        def stop(*given: object, by: object = OWN) -> None:
            for name, own in zip(("parse_args", "parse_intermixed_args"), whole, strict=True):
                patch.setattr(argparse.ArgumentParser, name, own)
            patch.setattr(argparse.ArgumentParser, "parse_known_args", OWN)
            found = by(*given)  # type: ignore[operator]
            raise Parsed(found[0] if by is OWN else found)

        patch.setattr(argparse.ArgumentParser, "parse_args", lambda *given: stop(*given, by=whole[0]))
        patch.setattr(argparse.ArgumentParser, "parse_intermixed_args", lambda *given: stop(*given, by=whole[1]))
        patch.setattr(argparse.ArgumentParser, "parse_known_args", stop)
        with pytest.raises(Parsed) as caught:
            import_module(f"fomo.cli.{words[0]}").main(words[1:])
    options = caught.value.args[0]
    assert isinstance(options, argparse.Namespace)
    return options


def parsers(command: str) -> Iterator[argparse.ArgumentParser]:
    """The parser of a command, and those of the commands in it."""
    with pytest.MonkeyPatch.context() as patch:

        def stop(parser: argparse.ArgumentParser, *given: object) -> None:
            raise Parsed(parser)

        for name in ("parse_args", "parse_intermixed_args", "parse_known_args"):
            patch.setattr(argparse.ArgumentParser, name, stop)
        with pytest.raises(Parsed) as caught:
            import_module(f"fomo.cli.{command}").main([])
    return below(caught.value.args[0])


def below(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        for each in action.choices.values() if isinstance(action, argparse._SubParsersAction) else ():
            yield from below(each)


def examples(parser: argparse.ArgumentParser) -> list[list[str]]:
    """The words of each example, ``fomo`` left out."""
    lines = (parser.epilog or "").partition("examples:\n")[2].split("\n\n")[0].splitlines()
    return [shlex.split(re.split(r" {2,}| > ", line.strip())[0])[1:] for line in lines]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_examples_that_parse(command: str) -> None:
    found = list(parsers(command))
    for parser in found:
        lines = examples(parser)
        own = parser.prog.split()[1:]
        assert any(words[: len(own)] == own for words in lines), f"no example of {parser.prog}"
        for words in lines:
            assert words[0] in COMMANDS, words
            options = parsed(words)
            if words[0] in ("run", "budget", "doctor") and not getattr(options, "config", None):
                composed(options.overrides)
            if words[0] == "tune":
                launched = [word for word in options.overrides if word.startswith("launcher")]
                assert split(launched) and search([word for word in options.overrides if word not in launched]).space
            if words[:2] == ["data", "prepare"]:
                assert words[2] in (*RECIPES, "desktop")
    assert len(found) == {"data": 11, "stream": 4, "prompts": 2}.get(command, 1)


def test_whatever_prints_a_table_prints_json_too() -> None:
    leaves = [each for command in COMMANDS for each in parsers(command) if not list(below(each))[1:]]
    has_json = {each.prog.partition(" ")[2]: "--json" in each._option_string_actions for each in [*leaves, verify()]}
    assert len(has_json) == 29
    assert {name for name, has in has_json.items() if not has} == set(NO_TABLE)


def composed(overrides: list[str]) -> None:
    """Compose every run of an example; none is given more compute than takes an hour or so on a small machine."""
    _, own = split(overrides)
    for job in sweep(own):
        values = compose(job)
        if values["stream"]["_target_"].endswith("file_stream"):
            assert (values["budget"]["steps"] or 10**9) * values["batch_size"] <= 10**6


def test_an_option_that_there_is_none_of_does_not_parse() -> None:
    with pytest.raises(SystemExit):
        parsed(["score", "runs", "--pth"])
