"""``fomo completion``: a script that completes commands, options, groups and their options in a shell."""

import argparse
import importlib
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fomo.cli import COMMANDS

SETTINGS = "KEY=VALUE"
"""How a command's help names what is completed as settings of a run."""
INNER = {"leaderboard verify": "verify"}
"""Commands in another one that have a module and a parser of their own."""
EPILOG = """examples:
  fomo completion bash > ~/.local/share/bash-completion/completions/fomo   from the next shell on
  fomo completion zsh > ~/.fomo.zsh      and in ~/.zshrc: source ~/.fomo.zsh
  fomo completion fish > ~/.config/fish/completions/fomo.fish              the same"""

BASH = """# Completion of fomo for bash. Written by `fomo completion`; write it anew when fomo is another version.
_fomo_words() {
  case "$1" in
@WORDS@
  esac
}
_fomo_values() {
  case "$1" in
@VALUES@
  esac
}
_fomo_keys=@KEYS@
_fomo() {
  local cur="${COMP_WORDS[COMP_CWORD]}" last="${COMP_WORDS[COMP_CWORD-1]}" key="" stem="" kept="" path=""
  local word follow
  if [[ "$cur" == "=" ]]; then key="$last"; cur=""
  elif [[ "$last" == "=" ]]; then key="${COMP_WORDS[COMP_CWORD-2]}"
  elif [[ "$cur" == *=* ]]; then key="${cur%%=*}"; stem="$key="; cur="${cur#*=}"
  fi
  COMPREPLY=()
  if [[ -n "$key" ]]; then
    [[ "$cur" =~ ^(.*[][,]) ]] && kept="${BASH_REMATCH[1]}"
    COMPREPLY=($(compgen -P "$stem$kept" -W "$(_fomo_values "$key")" -- "${cur#"$kept"}"))
    return
  fi
  for word in "${COMP_WORDS[@]:1:$((COMP_CWORD-1))}"; do
    [[ -n "$(_fomo_words "$path $word")" ]] && path="$path $word"
  done
  follow="$(_fomo_values "$last")"
  [[ "$last" == -* && -n "$follow" ]] || follow="$(_fomo_words "$path")"
  [[ " $follow " == *" @SETTINGS@ "* ]] && follow="${follow/@SETTINGS@/$_fomo_keys}"
  COMPREPLY=($(compgen -W "$follow" -- "$cur"))
  [[ ${#COMPREPLY[@]} -eq 1 && "${COMPREPLY[0]}" == *= ]] && compopt -o nospace 2>/dev/null
}
complete -o default -F _fomo fomo
"""
ZSH = """# Completion of fomo for zsh: the words of bash's function, keys without a space behind them.
autoload -U +X compinit && compinit
autoload -U +X bashcompinit && bashcompinit
@BASH@
_fomo_zsh() {
  local COMP_CWORD=$((CURRENT - 1))
  local -a COMP_WORDS COMPREPLY
  COMP_WORDS=("${words[@]}")
  () {
    emulate -L sh
    setopt kshglob noshglob braceexpand bashrematch
    _fomo
  }
  COMPREPLY=(${(M)COMPREPLY:#${(b)words[CURRENT]}*})
  (( ${#COMPREPLY} )) || { _files; return }
  compadd -Q -S '' -- ${(M)COMPREPLY:#*=}
  compadd -Q -- ${COMPREPLY:#*=}
}
compdef _fomo_zsh fomo
"""
FISH = """# Completion of fomo for fish. Written by `fomo completion`; write it anew when fomo is another version.
function __fomo_listed
  set -l listed
  set -l kept (string match -r '^[^=]*=.*[[,]' -- (commandline -ct)); or return
  switch (string split -m1 = -- $kept)[1]
@VALUES@
  end
  for each in $listed
    echo $kept$each
  end
end
complete -c fomo -n "string match -qr '=.*[[,]' -- (commandline -ct)" -a "(__fomo_listed)"
"""
"""What follows a comma or the bracket of a list; the other words have lines of their own."""


@dataclass(frozen=True)
class Words:
    """What can be typed.

    Args:
        after: The words that may follow each command, ``""`` alone, ``"data import"``; :data:`SETTINGS` stands for
            the settings of a run.
        values: Those that may follow each ``KEY=``, or each option that has some.
        keys: Every ``KEY=`` of a run, groups first.
    """

    after: Mapping[str, list[str]]
    values: Mapping[str, list[str]]
    keys: list[str]


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    made = argparse.ArgumentParser(
        "fomo completion", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("shell", choices=list(SHELLS), help="whose script to print")
    return made


def main(arguments: list[str]) -> None:
    """Print the script."""
    print(SHELLS[parser().parse_args(arguments).shell](words()), end="")


def words() -> Words:
    """Everything that can be typed, from the parsers of the commands and the groups of ``conf/``."""
    from fomo.config.compose import compose, groups

    after = {"": list(COMMANDS)}
    values: dict[str, list[str]] = {}
    for name, module in [*((name, name) for name in COMMANDS), *INNER.items()]:
        for path, of in _below(name, importlib.import_module(f"fomo.cli.{module}").parser()):
            after[path] = _follow(of)
            values |= {
                flag: list(map(str, each.choices))
                for each in of._actions
                if each.choices
                for flag in each.option_strings
            }
    for path in INNER:
        after[path.rpartition(" ")[0]].append(path.rpartition(" ")[2])
    options = {group: list(of) for group, of in groups().items()}
    keys = [*options, *(key for key in _keys(compose([])) if key not in options)]
    return Words(after, values | options, [f"{key}=" for key in keys])


def _below(path: str, of: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """A command, and the commands in it, by their words."""
    yield path, of
    for name, inner in _commands_in(of).items():
        yield from _below(f"{path} {name}", inner)


def _commands_in(of: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    found = [each.choices for each in of._actions if isinstance(each, argparse._SubParsersAction)]
    return found[0] if found else {}


def _follow(of: argparse.ArgumentParser) -> list[str]:
    """Options, commands in it, values of a positional argument, and that it takes settings."""
    found = [flag for each in of._actions for flag in each.option_strings]
    for each in of._actions:
        if not each.option_strings:
            found += list(map(str, each.choices or ()))
            found += [SETTINGS] if SETTINGS in str(each.metavar) else []
    return found


def _keys(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Every key of a configuration that holds a value, dotted."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _keys(value, f"{prefix}{key}.")
        elif not key.startswith("_"):
            yield f"{prefix}{key}"


def bash(of: Words) -> str:
    """A script for bash; the words that are split at ``=`` there are whole in zsh, and it takes both."""
    after = {f" {path}".rstrip(): found for path, found in of.after.items()}
    parts = {"WORDS": _cases(after), "VALUES": _cases(of.values), "KEYS": shlex.quote(" ".join(of.keys))}
    return re.sub(r"@(\w+)@", lambda found: parts.get(found[1], SETTINGS), BASH)


def _cases(of: Mapping[str, list[str]]) -> str:
    return "\n".join(f"    {shlex.quote(key)}) echo {shlex.quote(' '.join(found))};;" for key, found in of.items())


def zsh(of: Words) -> str:
    """The same for zsh."""
    return ZSH.replace("@BASH@", bash(of).rstrip())


def fish(of: Words) -> str:
    """A script for fish, which takes a line for the words after each command."""
    groups = {key: found for key, found in of.values.items() if not key.startswith("-")}
    cases = [f"    case {shlex.quote(key)}\n      set listed {shlex.join(found)}" for key, found in groups.items()]
    lines = [FISH.replace("@VALUES@", "\n".join(cases)).rstrip()]
    settings = [*of.keys, *(f"{key}{value}" for key in of.keys for value in of.values.get(key[:-1], ()))]
    for path, found in of.after.items():
        seen = [f"__fish_seen_subcommand_from {word}" for word in path.split()] or ["__fish_use_subcommand"]
        shown = [word for each in found for word in (settings if each == SETTINGS else [each])]
        words = " ".join(shown).replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
        lines.append(f'complete -c fomo -n "{"; and ".join(seen)}" -a "{words}"')
    return "\n".join([*lines, ""])


SHELLS = {"bash": bash, "zsh": zsh, "fish": fish}
