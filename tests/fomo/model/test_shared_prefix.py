"""Texts that begin alike: computed with their common tokens once, they have the features that each has by itself."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fomo.budget.flops import FlopMeter, charged
from fomo.evaluation import texts as evaluation_texts
from fomo.evaluation.classifier import classifier_of
from fomo.evaluation.config import EvaluationConfig
from fomo.evaluation.templates import beginnings
from fomo.evaluation.texts import encode_texts
from fomo.evaluation.zero_shot import evaluate
from fomo.model import fast, shared_prefix
from fomo.model.shared_prefix import encode, encode_after, num_shared
from fomo.system.runtime import Runtime
from tests import tiny
from tests.fomo.model.test_fast import CHANGES, MODELS, clip

CPU = Runtime("cpu")
END = 49407
CAUSAL = [name for name, (_, _, kinds) in MODELS.items() if kinds[1] is fast.Clip]


def quick(name: str = "as ViT-B") -> Any:
    vision, text, _ = MODELS[name]
    network = clip(vision, text)
    fast.quicken(network)
    return network.eval()


def alike(shared: int = 5, lengths: tuple[int, ...] = (2, 6, 1, 13)) -> Tensor:
    """Texts of 20 tokens that begin with some in common; none of the tokens behind them is."""
    torch.manual_seed(2)
    tokens = torch.zeros(len(lengths), 20, dtype=torch.long)
    tokens[:, :shared] = torch.randint(1, 4000, (shared,))
    for row, length in enumerate(lengths):
        tokens[row, shared : shared + length] = torch.randint(1, 1000, (length,)) + 1000 * row
        tokens[row, shared + length] = END
    return tokens


def alone(network: Any, tokens: Tensor) -> Tensor:
    """The features of each text by open_clip's own way, over the whole context."""
    with FlopMeter()("step"):
        return torch.cat([network.encode_text(tokens[row : row + 1], normalize=True) for row in range(len(tokens))])


@pytest.mark.parametrize("name", CAUSAL)
@torch.no_grad()
def test_features_are_those_of_each_text_by_itself(name: str) -> None:
    network = quick(name)
    tokens = alike()
    assert num_shared(network, tokens) == 5
    torch.testing.assert_close(encode(network, tokens, "cpu", alike=True), alone(network, tokens), rtol=0, atol=1e-12)
    network = network.float()
    torch.testing.assert_close(encode(network, tokens, "cpu", alike=True), alone(network, tokens), rtol=0, atol=1e-5)


@torch.no_grad()
def test_common_tokens_are_computed_once() -> None:
    network = quick()
    seen = []
    own = shared_prefix._block

    def counted(block: Any, first: Tensor, rows: Tensor, mask: Tensor) -> Any:
        seen.append((first.shape[:2], rows.shape[:2]))
        return own(block, first, rows, mask)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared_prefix, "_block", counted)
        encode(network, alike(), "cpu", alike=True)
        assert seen == [((1, 5), (4, 14))] * 2
        encode(network, alike(), "cpu")
        assert len(seen) == 2, "nobody asked"


def test_what_is_shared() -> None:
    network = quick()
    assert num_shared(network, alike(shared=2)) == 0, "too little"
    assert num_shared(network, alike()[:1]) == 0, "one text shares with none"
    same = alike(lengths=(3, 3))
    same[1] = same[0]
    assert num_shared(network, same) == 8, "the end stays with each"
    prefix_of_another = alike(lengths=(4, 9))
    prefix_of_another[1, :9] = prefix_of_another[0, :9]
    assert num_shared(network, prefix_of_another) == 9
    torch.testing.assert_close(encode(network, same, "cpu", alike=True), alone(network, same))


@pytest.mark.parametrize("name", [name for name in MODELS if name not in CAUSAL])
def test_other_towers_share_nothing(name: str) -> None:
    assert num_shared(quick(name), alike()) == 0


def test_nothing_is_shared_while_flops_are_counted() -> None:
    network = quick()

    def cost(ask: bool) -> int:
        meter = FlopMeter()
        with meter("step"), torch.no_grad():
            encode(network, alike(), "cpu", ask)
        return charged(meter.phases)

    assert cost(True) == cost(False) > 0


@torch.no_grad()
def test_nothing_is_shared_while_somebody_listens() -> None:
    network = quick()
    heard: list[int] = []
    handle = network.transformer.resblocks[0].register_forward_hook(lambda *values: heard.append(values[-1].shape[1]))
    found = encode(network, alike(), "cpu", alike=True)
    handle.remove()
    assert heard == [20]
    torch.testing.assert_close(found, alone(network, alike()))


@pytest.mark.parametrize("change", CHANGES)
@torch.no_grad()
def test_what_a_method_changes_is_computed(change: Callable[[Any], None]) -> None:
    network = quick()
    whole = copy.deepcopy(network)
    change(network)
    change(whole)
    torch.manual_seed(0)
    changed = encode(network, alike(), "cpu", alike=True)
    torch.manual_seed(0)
    expected = encode(whole, alike(), "cpu")
    torch.testing.assert_close(changed, expected)


@torch.no_grad()
def test_adapted_layers_are_computed() -> None:
    network = quick().float()
    before = encode(network, alike(), "cpu", alike=True)
    for block in network.transformer.resblocks:
        nn.utils.parametrizations.weight_norm(block.mlp.c_fc)
        block.mlp.c_fc.parametrizations.weight.original0.mul_(1.5)
    after = encode(network, alike(), "cpu", alike=True)
    torch.testing.assert_close(after, alone(network, alike()), rtol=0, atol=1e-5)
    assert not torch.allclose(before, after)


def many(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number} {'word ' * (number % 4)}" for number in range(count)]


def test_texts_are_grouped_by_what_they_say_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that begin alike are batches of their own where they are many; their order changes no byte."""
    model = tiny.prepared().model
    model.network.eval()
    asked: list[tuple[int, bool]] = []
    own = evaluation_texts.encode
    monkeypatch.setattr(
        evaluation_texts,
        "encode",
        lambda net, tokens, dev, same: asked.append((len(tokens), same)) or own(net, tokens, dev, same),
    )
    monkeypatch.setattr(evaluation_texts, "TEXTS_AT_A_TIME", 40)
    photos, drawings, rest = many("a photo of the ", 50), many("a drawing of a ", 31), many("", 5)
    begin = dict.fromkeys(photos, "a photo of the ") | dict.fromkeys(drawings, "a drawing of a ")
    found = encode_texts(model, [*photos, *drawings, *rest], CPU, begin)
    assert sorted(asked) == [(10, True), (36, False), (40, True)]
    again = encode_texts(model, [*photos, *drawings, *rest], CPU, begin)
    assert torch.equal(found.table, again.table) and found.rows == again.rows
    plain = encode_texts(model, [*rest, *photos, *drawings], CPU)
    for texts in (photos, drawings, rest):
        torch.testing.assert_close(found.of(texts), plain.of(texts), rtol=0, atol=1e-5)


def test_what_a_prompt_begins_with_is_its_templates() -> None:
    prompts = {"a {} x": ["a cat x", "own words"], "{} y": ["cat y"], "the {}": ["the cat"]}
    assert beginnings(prompts) == {"a cat x": "a ", "the cat": "the "}


def test_all_templates_score_the_same_and_the_first_ones_keep_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = tiny.prepared()
    shared: list[int] = []
    own = shared_prefix.num_shared
    monkeypatch.setattr(shared_prefix, "num_shared", lambda *given: shared.append(own(*given)) or shared[-1])
    monkeypatch.setattr(evaluation_texts, "BEGIN_ALIKE", 8)

    def scored(templates: str) -> Any:
        return evaluate(prepared.model, prepared.stream, 0, EvaluationConfig(templates=templates), CPU)

    first = scored("first")
    assert not shared
    together = scored("all")
    assert max(shared) >= 3
    monkeypatch.setattr(shared_prefix, "num_shared", lambda *given: 0)
    assert scored("all") == together != first
    assert scored("first") == first
    cards = [each.card for each in prepared.stream.datasets.values()]
    prompts = [[card.prompts(template) for template in card.templates] for card in cards]
    monkeypatch.setattr(shared_prefix, "num_shared", own)
    for card, lists in zip(cards, prompts, strict=True):
        texts = [text for each in lists for text in each]
        begin = beginnings(dict(zip(card.templates, lists, strict=True)))
        weights = [classifier_of(encode_texts(prepared.model, texts, CPU, each), lists) for each in (begin, {})]
        torch.testing.assert_close(*weights, rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_shared_way_is_the_whole_one_for_one_own_token() -> None:
    """By hand: with nothing but the end behind the shared tokens, all texts are one text."""
    network = quick()
    tokens = alike(lengths=(0, 0, 0))
    assert num_shared(network, tokens) == 5
    found = encode_after(network, tokens[:, :6], 5)
    torch.testing.assert_close(found, alone(network, tokens[:1]).expand(3, -1), rtol=0, atol=1e-12)
