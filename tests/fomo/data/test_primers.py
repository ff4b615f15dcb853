"""Templates from prompts: hand cases, every template and name, the reference's real files."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fomo.data.primers import recover_template

INFO = Path(__file__).parents[4] / "shared" / "fomo_in_flux" / "info"
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="{}"), min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("prompts", "template", "exceptions"),
    [
        ({"cat": "A photo of a cat.", "dog": "A photo of a dog."}, "A photo of a {}.", {}),
        ({"a": "A photo of a a.", "b": "A photo of a b."}, "A photo of a {}.", {}),
        ({"photo": "A photo of a photo."}, "A photo of a {}.", {}),
        ({"texture": "A photo of a texture texture.", "x": "A photo of a x texture."}, "A photo of a {} texture.", {}),
        ({"cat": "a cat", "dog": "a dog", "emu": "an emu"}, "a {}", {"emu": "an emu"}),
        ({"big_cat": "a big cat", "wild_dog": "a wild dog"}, "{}", {"big_cat": "a big cat", "wild_dog": "a wild dog"}),
        ({"{}": "a {} here", "b": "a b here"}, "a {} here", {}),
        ({"a+b (c)": "the a+b (c)", ".*": "the .*"}, "the {}", {}),
        ({}, "{}", {}),
    ],
)
def test_the_template_is_what_most_prompts_share(
    prompts: dict[str, str], template: str, exceptions: dict[str, str]
) -> None:
    assert recover_template(prompts) == (template, exceptions)


@given(st.lists(NAMES, min_size=1, max_size=6, unique=True), NAMES, NAMES)
def test_every_prompt_comes_back_whatever_was_recovered(names: list[str], before: str, after: str) -> None:
    prompts = {name: f"{before}{name}{after}" for name in names}
    template, exceptions = recover_template(prompts)
    assert {name: exceptions.get(name) or template.replace("{}", name) for name in names} == prompts
    assert template.count("{}") == 1


@pytest.mark.skipif(not INFO.is_dir(), reason="the reference's JSON files are not here")
@pytest.mark.parametrize(
    ("name", "template"),
    [
        ("DTD", "A photo of a {} texture."),
        ("AI2DIAGRAMS", "A photo of a {}."),
        ("MONKEYS10", "A photo of a {}, a type of monkey."),
    ],
)
def test_real_primers_give_one_template(name: str, template: str) -> None:
    entries = json.loads((INFO / f"{name}_test.json").read_text(encoding="utf-8")).values()
    prompts = {about["classname"]: about["primer_caption"] for about in entries}
    assert recover_template(prompts) == (template, {})
