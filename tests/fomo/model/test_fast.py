"""The shorter way through open_clip's towers gives what the whole one gives."""

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import Any

import open_clip
import pytest
import torch
from torch import Tensor, nn

from fomo.batch import Batch, cut_at
from fomo.budget.flops import FlopMeter, charged
from fomo.errors import FomoError
from fomo.model import fast
from fomo.model.open_clip import pretrained_clip
from fomo.model.recomputing import recompute
from fomo.training.step import encode
from tests import tiny

SMALL = {"width": 64, "layers": 2}
LENGTHS = (3, 9, 11)


def clip(vision: dict[str, Any], text: dict[str, Any]) -> nn.Module:
    """A small open_clip model in double precision, with seeded weights and biases that are not zero."""
    torch.manual_seed(0)
    vision = {"image_size": 32, "patch_size": 8, "head_width": 16, **SMALL, **vision}
    network = open_clip.CLIP(32, vision, {"context_length": 20, "heads": 4, **SMALL, **text})
    for parameter in network.parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.02)
    return network.double().train()


def inputs() -> tuple[Tensor, Tensor]:
    """Three images and three texts of different lengths."""
    tokens = torch.zeros(3, 20, dtype=torch.long)
    for row, length in enumerate(LENGTHS):
        tokens[row, :length] = torch.randint(1, 4000, (length,))
        tokens[row, length] = 49407
    return torch.randn(3, 3, 32, 32).double(), tokens


def found(network: nn.Module, tokens: Tensor | None = None) -> dict[str, Tensor]:
    """Features and gradients of a loss that reaches every parameter, from the same inputs."""
    torch.manual_seed(1)
    images, whole = inputs()
    network.zero_grad()
    one, other, scale = network(images, whole if tokens is None else tokens)[:3]
    ((scale * one @ other.T).logsumexp(1).sum() + one[:, 0].sum()).backward()
    gradients = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
    return {"images": one.detach(), "texts": other.detach(), **gradients}


def short_tokens(network: nn.Module) -> Tensor:
    torch.manual_seed(1)
    tokens = inputs()[1]
    return tokens[:, : fast.shortest(network, tokens)]


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor], rtol: float = 1e-11) -> None:
    assert one.keys() == other.keys()
    largest = max(float(value.abs().max()) for value in one.values())
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, rtol=rtol, atol=rtol * largest, msg=name)


WHOLE = open_clip.transformer.VisionTransformer
MODELS: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[type, type]]] = {
    "as ViT-B": ({}, {}, (fast.ImageTower, fast.Clip)),
    "layer scale": ({"ls_init_value": 0.3, "no_ln_pre": True}, {"ls_init_value": 0.2}, (fast.ImageTower, fast.Clip)),
    "norm after pooling": (
        {"final_ln_after_pool": True},
        {"proj_type": "none", "width": 32},
        (fast.ImageTower, fast.Clip),
    ),
    "projection with a bias": ({}, {"proj_bias": True}, (fast.ImageTower, fast.Clip)),
    "means of tokens": ({"pool_type": "avg"}, {}, (WHOLE, fast.Clip)),
    "pooled by attention": ({"attentional_pool": True, "attn_pooler_heads": 4}, {}, (WHOLE, fast.Clip)),
    "both ways in the text": ({}, {"no_causal_mask": True}, (fast.ImageTower, open_clip.CLIP)),
    "pooled at the last token": ({}, {"pool_type": "last"}, (fast.ImageTower, open_clip.CLIP)),
    "normed queries": ({"qk_norm": True}, {"qk_norm": True}, (WHOLE, open_clip.CLIP)),
    "a ResNet": ({"layers": [1] * 4, "width": 16}, {}, (open_clip.modified_resnet.ModifiedResNet, fast.Clip)),
}


@pytest.mark.parametrize("name", MODELS)
def test_features_and_gradients_are_those_of_open_clip(name: str) -> None:
    vision, text, kinds = MODELS[name]
    whole = clip(vision, text)
    quick = copy.deepcopy(whole)
    fast.quicken(quick)
    assert (type(quick.visual), type(quick)) == kinds
    assert list(quick.state_dict()) == list(whole.state_dict())
    assert_same(found(whole), found(quick))
    assert_same(found(whole), found(quick, short_tokens(quick)))
    recompute(quick, True)  # type: ignore[arg-type]
    assert_same(found(whole), found(quick, short_tokens(quick)))


def test_texts_are_cut_behind_the_longest_one() -> None:
    network = clip({}, {})
    assert short_tokens(network).shape == (3, 20)
    fast.quicken(network)
    assert short_tokens(network).shape == (3, 16)
    assert fast.shortest(network, inputs()[1][:1]) == 8
    full = torch.full((1, 20), 5)
    full[0, -1] = 49407
    assert fast.shortest(network, full) == 20


def test_while_flops_are_counted_the_protocol_is_computed() -> None:
    whole = clip({}, {})
    quick = copy.deepcopy(whole)
    fast.quicken(quick)

    def cost(network: nn.Module, tokens: Tensor | None) -> int:
        meter = FlopMeter()
        with meter("step"):
            found(network, tokens)
        return charged(meter.phases)

    assert cost(quick, short_tokens(quick)) == cost(whole, None)


def listeners(network: nn.Module, see: Callable[..., None]) -> list[Any]:
    last = network.visual.transformer.resblocks[-1]  # type: ignore[union-attr, index]
    first: nn.Module = network.transformer.resblocks[0]  # type: ignore[union-attr, index, assignment]
    handles = [last.mlp.register_forward_hook(see), last.ln_2.register_forward_pre_hook(see)]
    return [*handles, first.register_forward_hook(see)]


def test_a_hook_sees_every_layer_whole() -> None:
    network = clip({}, {})
    fast.quicken(network)
    shapes = []
    handles = listeners(
        network,
        lambda module, *values: shapes.append(
            values[-1].shape if isinstance(values[-1], Tensor) else values[-1][0].shape
        ),
    )
    assert fast.shortest(network, inputs()[1]) == 20
    found(network)
    assert shapes == [(3, 17, 64)] * 2 + [(3, 20, 64)]
    found(network, inputs()[1][:, :16])  # as a batch that was cut before somebody listened
    assert shapes[3:] == shapes[:3]
    for handle in handles:
        handle.remove()
    assert fast.shortest(network, inputs()[1]) == 16


def see_both_ways(network: Any) -> None:
    network.attn_mask.zero_()


def replace_mask(network: Any) -> None:
    network.attn_mask = torch.zeros_like(network.attn_mask)


def pool_the_last_token(network: Any) -> None:
    network.text_pool_type = "last"


def pool_means(network: Any) -> None:
    network.visual.pool_type = "avg"


def drop_attention(network: Any) -> None:
    for tower in (network, network.visual):
        for block in tower.transformer.resblocks:
            block.attn.dropout = 0.3


def exchange_attention(network: Any) -> None:
    for block in network.transformer.resblocks:
        plain = nn.MultiheadAttention(64, 4, batch_first=True).double()
        plain.load_state_dict({name: 2 * value for name, value in block.attn.state_dict().items()})
        block.attn = plain


class Sine(nn.Module):
    """The sine of what a layer returns; it shows the layer's weight as its own."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        for name in ("weight", "bias", "kernel_size", "stride", "padding", "dilation", "groups"):
            self.__dict__[name] = getattr(inner, name, None)

    def forward(self, *values: Any, **named: Any) -> Tensor:
        """The sine."""
        return self.inner(*values, **named).sin()


def wrap_patches(network: Any) -> None:
    network.visual.conv1 = Sine(network.visual.conv1)


def wrap_the_last_block(network: Any) -> None:
    network.visual.transformer.resblocks[-1] = Sine(network.visual.transformer.resblocks[-1])


def overlap_patches(network: Any) -> None:
    network.visual.conv1.stride = (6, 6)
    network.visual.positional_embedding = nn.Parameter(torch.ones(26, 64).double())


def patch_attention(network: Any) -> None:
    for tower in (network, network.visual):
        for block in tower.transformer.resblocks:
            block.attention = lambda *values, own=block.attention, **named: 2 * own(*values, **named)


def patch_forward(network: Any) -> None:
    for layer in (network.visual.conv1, network.visual.transformer):
        layer.forward = lambda *values, own=layer.forward, **named: own(*values, **named).sin()


CHANGES = (
    see_both_ways,
    replace_mask,
    pool_the_last_token,
    pool_means,
    drop_attention,
    exchange_attention,
    wrap_patches,
    wrap_the_last_block,
    overlap_patches,
    patch_attention,
    patch_forward,
)


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_method_changes_in_the_network_is_computed(change: Callable[[Any], None]) -> None:
    whole = clip({}, {})
    quick = copy.deepcopy(whole)
    fast.quicken(quick)
    before = found(quick)
    change(whole)
    change(quick)
    after = found(quick)
    assert_same(found(whole), after)
    differs = {side: not torch.allclose(before[side], after[side]) for side in ("images", "texts")}
    assert any(differs.values())
    torch.manual_seed(1)
    batch = Batch(*inputs(), (3, 0, 0))
    with torch.no_grad():
        cut = encode(quick, replace(batch, cut=cut_at(16, batch.tokens)))
    torch.testing.assert_close(cut.texts, after["texts"])


def test_a_context_may_be_lengthened() -> None:
    network: Any = clip({}, {})
    fast.quicken(network)
    network.positional_embedding = nn.Parameter(torch.ones(24, 64).double())
    network.attn_mask = torch.full((24, 24), -torch.inf).double().triu_(1)
    tokens = torch.full((2, 24), 7)
    tokens[:, -1] = torch.tensor([9, 5])
    features = network.encode_text(tokens)
    with FlopMeter()("step"):
        torch.testing.assert_close(network.encode_text(tokens), features)


def test_only_padding_that_is_still_there_is_left_out() -> None:
    """A method may give other tokens, or write into those of a batch."""
    network: Any = clip({}, {})
    fast.quicken(network)
    images, tokens = inputs()
    batch = Batch(images, tokens, (3, 0, 0), cut=cut_at(16, tokens))
    assert batch.short_tokens.shape == (3, 16) and next(batch.split(2)).short_tokens.shape == (2, 16)
    longer = tokens.clone()
    longer[:, -1] = 49407
    longer[longer[:, :-1].argmax(dim=1, keepdim=True) == torch.arange(20)] = 5
    expected = network.encode_text(longer, normalize=True)
    torch.testing.assert_close(encode(network, replace(batch, tokens=longer)).texts, expected)
    tokens.copy_(longer)
    torch.testing.assert_close(encode(network, batch).texts, expected)


def test_a_teacher_that_reads_padding_gets_it() -> None:
    batch = Batch(*inputs(), (3, 0, 0))
    for text in ({"no_causal_mask": True}, {"pool_type": "last"}):
        vision = {"image_size": 32, "patch_size": 8, "head_width": 16, **SMALL}
        teacher = open_clip.CustomTextCLIP(32, vision, {"context_length": 20, "heads": 4, **SMALL, **text}).double()
        expected = encode(teacher, batch).texts
        torch.testing.assert_close(encode(teacher, replace(batch, cut=cut_at(16, batch.tokens))).texts, expected)


def test_masks_of_others_are_heeded() -> None:
    whole = clip({}, {})
    quick = copy.deepcopy(whole)
    fast.quicken(quick)
    rows = torch.randn(2, 20, 64).double()
    mask = torch.zeros(20, 20).double().masked_fill(torch.eye(20).bool().roll(3, 0), -torch.inf)
    for block, same in zip(quick.transformer.resblocks, whole.transformer.resblocks, strict=True):  # type: ignore
        torch.testing.assert_close(block(rows, attn_mask=mask), same(rows, attn_mask=mask))
        torch.testing.assert_close(block(rows, rows + 1, rows - 1), same(rows, rows + 1, rows - 1))


def test_attention_asked_for_weights_is_torchs_own() -> None:
    whole = clip({}, {}).visual.transformer.resblocks[0].attn  # type: ignore[union-attr, index]
    quick = copy.deepcopy(whole)
    quick.__class__ = fast.Attention
    rows = torch.randn(2, 5, 64).double()
    for one, other in zip(quick(rows, rows, rows), whole(rows, rows, rows), strict=True):
        torch.testing.assert_close(one, other)


def compiled(network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> tuple[nn.Module, list[int]]:
    """A copy whose blocks are compiled by a compiler that leaves everything as it is, and counts what it is given."""
    calls: list[int] = []

    def backend(graph: torch.fx.GraphModule, example: object) -> Callable[..., Any]:
        calls.append(1)
        return graph.forward

    monkeypatch.setattr(fast, "_compiled", cache(partial(torch.compile, fast._block, dynamic=False, backend=backend)))
    monkeypatch.setattr(fast, "_check_compiler", lambda device: None)
    copied = copy.deepcopy(network)
    fast.quicken(copied)
    fast.compile_blocks(copied)
    return copied, calls


def test_blocks_are_compiled_once_for_all_layers_and_not_in_counted_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network, calls = compiled(clip({"layers": 4}, {"layers": 4}), monkeypatch)
    with FlopMeter()("step"):
        whole = found(network)
    assert not calls
    assert_same(whole, found(network))
    num_graphs = len(calls)
    assert 0 < num_graphs < 8  # fewer than layers: of both towers, and of the last block of the images
    found(network)
    assert len(calls) == num_graphs


def test_blocks_of_every_size_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which ones are must not depend on the order in which they come."""
    network, calls = compiled(clip({}, {"layers": 1}), monkeypatch)
    rows = torch.randn(12, 16, 64).double()
    seen = []
    for size in range(1, 12):
        network.transformer(rows[:size], attn_mask=fast.CAUSAL)  # type: ignore[operator]
        seen.append(len(calls))
    assert seen == list(range(1, 12))


def test_adapted_and_listened_to_blocks_are_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    network, calls = compiled(clip({}, {}), monkeypatch)
    for block in fast.blocks_of(network):
        nn.utils.parametrizations.weight_norm(block.mlp.c_fc)
    assert_same(found(network), found(network))
    assert not calls


def test_compiling_is_refused_where_nothing_can_be_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FomoError, match=r"runtime.compile=blocks: this model has no residual attention blocks"):
        fast.compile_blocks(clip({"qk_norm": True}, {"qk_norm": True}))
    network = clip({}, {})
    fast.quicken(network)
    monkeypatch.setattr(torch, "compile", lambda function: (_ for _ in ()).throw(RuntimeError("no g++ found")))
    with pytest.raises(FomoError, match=r"torch cannot compile here \(no g\+\+ found\).*runtime.compile=null"):
        fast.compile_blocks(network)
    with pytest.raises(FomoError, match=r"runtime.compile.*layers.*blocks"):
        tiny.resolved("runtime.compile=layers")


def test_every_model_that_is_built_is_quick() -> None:
    built = tiny.prepared("model=pocket").model.network
    assert isinstance(built, fast.Clip) and isinstance(built.visual, fast.ImageTower)
    assert type(pretrained_clip("ViT-S-32-alt", None, shapes_only=True).network) is open_clip.CLIP
