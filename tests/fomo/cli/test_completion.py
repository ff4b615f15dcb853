"""What a shell offers, asked of bash itself: words as bash splits them, and whole as zsh has them."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fomo.cli import COMMANDS
from fomo.cli.completion import fish, words, zsh
from fomo.config.compose import builtin_groups
from tests.fomo.helpers import put

TOP = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def script() -> str:
    """The script, printed by a process that has to do without torch."""
    code = (
        "import sys; from fomo.cli import main; main(['completion', 'bash']); "
        "print([name for name in ('torch', 'open_clip') if name in sys.modules], file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=TOP)
    assert ran.stderr.strip() == "[]"
    return ran.stdout


def offered(script: str, *typed: str, split: bool = True) -> list[str]:
    """What bash offers for the last of the typed words."""
    parts = [part for word in typed for part in (re.split(r"(=)", word) if split else [word])]
    parts = [part for number, part in enumerate(parts) if part or number == len(parts) - 1]
    if len(parts) > 1 and parts[-2:] == ["=", ""]:
        parts.pop()  # bash has the sign itself as the word at the cursor
    listed = " ".join(f"'{part}'" for part in ("fomo", *parts))
    code = f"{script}\nCOMP_WORDS=({listed})\nCOMP_CWORD={len(parts)}\n_fomo\nprintf '%s\\n' \"${{COMPREPLY[@]}}\""
    ran = subprocess.run(["bash", "--norc", "-c", code], capture_output=True, text=True, check=True)
    assert not ran.stderr
    return ran.stdout.split()


def test_commands_and_those_in_them(script: str) -> None:
    assert offered(script, "") == list(COMMANDS)
    assert offered(script, "s") == ["score", "submit", "stream"]
    assert offered(script, "zeroshot", "--c") == ["--compare"] and offered(script, "evaluate", "--t") == ["--tasks"]
    assert offered(script, "data", "import", "w") == ["webdataset"]
    assert offered(script, "stream", "")[-3:] == ["build", "show", "verify"]
    assert offered(script, "completion", "f") == ["fish"]
    assert offered(script, "leaderboard", "v") == ["verify"]
    assert offered(script, "leaderboard", "verify", "--no") == ["--no-weights"]


def test_options_and_their_values(script: str) -> None:
    assert offered(script, "score", "--m") == ["--metrics"]
    assert offered(script, "leaderboard", "runs", "--format", "la") == ["latex"]
    assert "--perceptual" in offered(script, "stream", "verify", "--") and "--json" not in offered(
        script, "report", "--"
    )


def test_settings_and_the_options_of_groups(script: str) -> None:
    assert offered(script, "run", "meth") == ["method="]
    assert offered(script, "run", "budget.total_m") == ["budget.total_mafs="]
    assert offered(script, "run", "method=") == builtin_groups()["method"]
    assert offered(script, "run", "seed=1", "method=lo") == ["locked_image", "locked_text", "lora", "lora_ema"]
    assert offered(script, "budget", "-m", "method=finetune,lora_") == ["finetune,lora_ema"]
    assert offered(script, "run", "log=[tensorboard,w") == ["[tensorboard,wandb"]
    assert "ViT-B-16" in offered(script, "stream", "verify", "model=ViT-B")
    assert offered(script, "score", "meth") == [] == offered(script, "run", "method=zzz")


def test_words_that_are_whole_have_whole_answers(script: str) -> None:
    assert offered(script, "run", "method=lora", split=False) == ["method=lora", "method=lora_ema"]
    assert offered(script, "run", "method=lora,gal", split=False) == ["method=lora,galore"]


def test_the_other_shells_get_the_same_words(script: str) -> None:
    found = words()
    assert script.rstrip() in zsh(found) and "bashcompinit" in zsh(found)
    lines = [line for line in fish(found).splitlines() if line.startswith("complete ")]
    assert len(lines) == 1 + len(found.after)
    (run,) = [line for line in lines if '"__fish_seen_subcommand_from run"' in line]
    assert " method=lora " in run and " budget.total_mafs= " in run and " --multirun " in run
    assert 'from data; and __fish_seen_subcommand_from import" -a' in "".join(lines)


@pytest.mark.skipif(shutil.which("fish") is None, reason="needs fish")
@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("fomo leaderboard verify --no", ["--no-weights"]),
        ("fomo data import webd", ["webdataset"]),
        ("fomo run method=lora", ["method=lora", "method=lora_ema"]),
        ("fomo run method=lora,gal", ["method=lora,galore"]),
        ("fomo run log=[tensorboard,w", ["log=[tensorboard,wandb"]),
    ],
)
def test_fish_offers_the_same(typed: str, expected: list[str], tmp_path: Path) -> None:
    file = put(tmp_path / "fomo.fish", fish(words()))
    code = f"source {file}; complete -C '{typed}'"
    ran = subprocess.run(["fish", "-N", "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert [line.split("\t")[0] for line in ran.stdout.splitlines()] == expected and not ran.stderr


@pytest.mark.skipif(shutil.which("zsh") is None, reason="needs zsh")
@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("fomo leaderboard verify --no", ["--no-weights"]),
        ("fomo data import webd", ["webdataset"]),
        ("fomo run method=lora", ["method=lora", "method=lora_ema"]),
        ("fomo run method=lora,gal", ["method=lora,galore"]),
        ("fomo run meth", ["method="]),
        ("fomo run nothing_such", ["_files"]),
    ],
)
def test_zsh_offers_the_same(typed: str, expected: list[str], tmp_path: Path) -> None:
    """The function, called as zsh's line editor would, with what it adds printed."""
    file = put(tmp_path / "fomo.zsh", zsh(words()))
    spied = """
    compadd() { while [[ $1 != -- ]]; do shift; done; shift; print -l -- "$@" }
    _files() { print _files }
    """
    code = f"source {file}; {spied}; words=({shlex.join(typed.split())}); CURRENT=$#words; _fomo_zsh"
    ran = subprocess.run(["zsh", "-f", "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ran.stdout.split() == expected and not ran.stderr
