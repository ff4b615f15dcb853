"""The prompt template behind given prompts: what remains of them when the class name is taken out."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping


def recover_template(prompts: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The template of most of ``prompts`` (class name to prompt), and the prompts that it does not make.

    A name may stand in its prompt more than once ("a photo of a photo"), so each place proposes a template and the
    classes vote; among equals the place further to the right wins. Without any proposal the template is ``{}``.
    """
    votes: Counter[str] = Counter()
    for name, prompt in prompts.items():
        votes.update(set(_candidates(name, prompt)))
    template = max(votes, key=lambda each: (votes[each], each.index("{}"), each), default="{}")
    return template, {name: prompt for name, prompt in prompts.items() if template.replace("{}", name) != prompt}


def _candidates(name: str, prompt: str) -> Iterator[str]:
    for match in re.finditer(f"(?={re.escape(name)})", prompt):
        template = prompt[: match.start()] + "{}" + prompt[match.start() + len(name) :]
        if template.count("{}") == 1:
            yield template
