"""LoRA, DoRA and VeRA against explicit matrices and against peft."""

import math
from collections.abc import Iterator
from typing import Any

import open_clip
import peft
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import parametrize

import fomo
from fomo.model import weights
from methods.lora import DoRA, LoRA, VeRA
from methods.lora.matrices import Matrix, matrices
from methods.lora.updates import Decomposed, LowRank, Shared, decomposed, shared_pair
from tests import tiny
from tests.fomo.budget import settings

KINDS = {"lora": LoRA, "dora": DoRA, "vera": VeRA}
TRAINED = {"lora": {"A", "B"}, "dora": {"A", "B", "magnitude"}, "vera": {"b", "d"}}
DRAWN = torch.Generator().manual_seed(0)
IMAGES = torch.randn(4, 3, 32, 32, generator=DRAWN)
TOKENS = torch.randint(1, 1000, (4, 16), generator=DRAWN)


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """Every test draws the same, alone or after others."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def attached(kind: str = "lora", model: str = "pocket", **options: Any) -> nn.Module:
    network: nn.Module = tiny.prepared(f"model={model}").model.network
    method = KINDS[kind](**options)
    method.begin_run(network, 0)
    method.begin_task(network, fomo.Task(1, 2, 3, seed=0))
    return network


def fill(network: nn.Module) -> None:
    """Move every update away from where it starts."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, LowRank | Shared):
            by = 0.5 if isinstance(module, Shared) else 0.05  # VeRA's are scales of a pair that is small
            for parameter in module.parameters():
                parameter.data += torch.randn(parameter.shape, generator=generator) * by


def drawn() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def matrix_of(weight: Tensor, blocks: int = 1, transposed: bool = False) -> Matrix:
    """A weight of a module that holds nothing else."""
    module = nn.Module()
    module.register_parameter("weight", nn.Parameter(weight))
    return Matrix("", module, "weight", blocks, transposed)


def by_hand(weight: Tensor, update: Any, blocks: int) -> Tensor:
    """The adapted weight [blocks·m, n], one row after the other in float64."""
    rows = weight.shape[0] // blocks
    result = weight.double().clone()
    for block in range(blocks):
        if isinstance(update, Shared):
            left = torch.diag(update.b[block].double()) @ update.B.double()
            product = left @ torch.diag(update.d[block].double()) @ update.A.double()
        else:
            product = 0.5 * update.B[block].double() @ update.A[block].double()
        result[rows * block : rows * (block + 1)] += product
    if isinstance(update, Decomposed):
        for row in range(len(result)):
            result[row] *= update.magnitude[row].double() / result[row].norm()
    return result


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_update_equals_explicit_matrices_of_each_block(kind: str, blocks: int, transposed: bool) -> None:
    stacked = torch.randn(blocks * 6, 5)
    weight = stacked.T.contiguous() if transposed else stacked
    matrix = matrix_of(weight, blocks, transposed)
    if kind == "vera":
        update: Any = Shared(matrix, *shared_pair(2, 9, 7, drawn()), 0.1, 0.0)
    else:
        update = (LowRank if kind == "lora" else Decomposed)(matrix, 2, 0.5, drawn())
    assert torch.equal(update(weight), weight)
    for parameter in update.parameters():
        parameter.data += torch.randn(parameter.shape)
    expected = by_hand(stacked, update, blocks).float()
    torch.testing.assert_close(update(weight), expected.T if transposed else expected)


def of_peft(config: Any, linear: nn.Linear) -> tuple[nn.Module, Any]:
    """peft's model over a copy of one linear layer, and its adapted layer."""
    copied = nn.Linear(linear.in_features, linear.out_features)
    copied.load_state_dict(linear.state_dict())
    model = peft.get_peft_model(nn.Sequential(copied), config)
    return model, model.base_model.model[0]


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_gradients_and_merged_weights_are_those_of_peft(kind: str) -> None:
    linear, x = nn.Linear(7, 5), torch.randn(4, 7)
    if kind == "vera":
        model, layer = of_peft(peft.VeraConfig(r=3, target_modules=["0"]), linear)
        update: Any = Shared(Matrix("", linear, "weight"), layer.vera_A["default"], layer.vera_B["default"], 0.1, 0.0)
        pairs = [(update.d, layer.vera_lambda_d["default"]), (update.b, layer.vera_lambda_b["default"])]
    else:
        config = peft.LoraConfig(r=3, lora_alpha=6, target_modules=["0"], use_dora=kind == "dora")
        model, layer = of_peft(config, linear)
        update = (LowRank if kind == "lora" else Decomposed)(Matrix("", linear, "weight"), 3, 2.0, drawn())
        pairs = [(update.A, layer.lora_A["default"].weight), (update.B, layer.lora_B["default"].weight)]
        if kind == "dora":
            pairs.append((update.magnitude, layer.lora_magnitude_vector["default"].weight))
            torch.testing.assert_close(*pairs[-1])  # both start at the norm of each row
    for ours, theirs in pairs:
        ours.data += torch.randn(ours.shape)
        theirs.data = ours.data.reshape(theirs.shape).clone()
    parametrize.register_parametrization(linear, "weight", update)
    torch.testing.assert_close(linear(x), model(x))
    linear(x).square().sum().backward()
    model(x).square().sum().backward()
    for ours, theirs in pairs:
        assert ours.grad is not None and ours.grad.abs().sum() > 0
        torch.testing.assert_close(ours.grad.flatten(), theirs.grad.flatten(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(linear.weight, model.merge_and_unload()[0].weight, rtol=1e-4, atol=1e-5)


def gradients(out: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    """The first gradients of a sum of squares, and those of their squares."""
    first = torch.autograd.grad(out.float().square().sum(), inputs, create_graph=True)
    second = torch.autograd.grad(sum(each.square().sum() for each in first), inputs)  # type: ignore[arg-type]
    return [*first, *second]


@pytest.mark.parametrize("mixed", [False, True])
def test_what_dora_computes_again_is_what_it_was_to_the_bit(mixed: bool) -> None:
    """In mixed precision too, and with parameters that are no longer there when gradients are taken."""
    weight = torch.randn(12, 5)
    update = Decomposed(matrix_of(weight, 3), 2, 0.5, drawn())
    given = {name: torch.randn_like(value).requires_grad_() for name, value in update.named_parameters()}
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
        kept = decomposed(weight, given["A"], given["B"], given["magnitude"], 0.5)
        again = functional_call(update, given, (weight,))
    assert torch.equal(kept, again)
    pairs = zip(gradients(kept, [*given.values()]), gradients(again, [*given.values()]), strict=True)
    assert all(one.abs().sum() > 0 and torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("kind", KINDS)
def test_no_adapted_weight_is_held_for_the_gradients_of_its_parts(kind: str) -> None:
    """Beside W itself, which is a parameter; the layer that uses the adapted weight holds it for its input's."""
    weight = torch.randn(6, 5)
    matrix = matrix_of(weight)
    pair = shared_pair(2, 6, 5, drawn())
    updates = {"lora": LowRank(matrix, 2, 0.5, drawn()), "dora": Decomposed(matrix, 2, 0.5, drawn())}
    update = updates.get(kind) or Shared(matrix, *pair, 0.1, 0.0)
    held: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: held.append(tensor) or tensor, lambda tensor: tensor):
        update(weight)
    assert all(tensor.shape != weight.shape or tensor.data_ptr() == weight.data_ptr() for tensor in held)


def test_a_row_of_zeros_stays_a_number_in_dora() -> None:
    weight = torch.randn(4, 3)
    weight[1] = 0
    update = Decomposed(matrix_of(weight), 2, 1.0, drawn())
    assert torch.equal(update(weight), weight)
    update(weight).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in update.parameters() if p.grad is not None)


@pytest.mark.parametrize("placement", ["paper", "all"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_starts_at_the_base_model(kind: str, placement: str) -> None:
    base = tiny.prepared("model=pocket").model.network.state_dict()
    for name, value in weights.folded(attached(kind, placement=placement)).items():
        assert torch.equal(value, base[name]), name


@pytest.mark.parametrize("placement", ["paper", "all"])
@pytest.mark.parametrize("model", ["pocket_resnet", "pocket"])
@pytest.mark.parametrize("kind", KINDS)
def test_merged_equals_unmerged(kind: str, model: str, placement: str) -> None:
    network = attached(kind, model, placement=placement).eval()
    start = network(IMAGES, TOKENS)[0].detach()
    fill(network)
    with torch.no_grad():
        before = network(IMAGES, TOKENS)[:2]
        stored = weights.folded(network)
        weights.fold(network)
        after = network(IMAGES, TOKENS)[:2]
    assert not torch.allclose(start, before[0], atol=1e-3)
    assert not any(parametrize.is_parametrized(module) for module in network.modules())
    for a, b in zip(before, after, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)
    for name, value in network.state_dict().items():
        assert torch.equal(stored[name], value), name


@pytest.mark.parametrize("placement", ["paper", "all"])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_every_update_and_nothing_else(kind: str, placement: str) -> None:
    network = attached(kind, placement=placement)
    fill(network)
    sum(features.sum() for features in network(IMAGES, TOKENS)[:2]).backward()
    reached = {name for name, p in network.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    trainable = {name for name, p in network.named_parameters() if p.requires_grad}
    assert reached == trainable and {name.rsplit(".", 1)[-1] for name in trainable} == TRAINED[kind]
    adapted = {(m.name, m.weight) for m in matrices(network, placement)}
    plain = tiny.prepared("model=pocket").model.network
    assert adapted == {(m.name, m.weight) for m in matrices(plain, placement)}  # the same, attached or not
    assert len(trainable) == len(TRAINED[kind]) * len(adapted)


def test_vera_shares_one_pair_that_the_seed_gives_and_no_file_keeps() -> None:
    def updates(network: nn.Module) -> list[Shared]:
        return [module for module in network.modules() if isinstance(module, Shared)]

    first, again = updates(attached("vera", placement="all")), updates(attached("vera", placement="all"))
    assert len({update.A.untyped_storage().data_ptr() for update in first}) == 1
    assert len({update.A.shape for update in first}) > 1  # sliced to what each weight needs
    assert torch.equal(first[0].A, again[0].A) and torch.equal(first[0].B, again[0].B)
    assert all(set(update.state_dict()) == {"b", "d"} for update in first)
    other = tiny.prepared("model=pocket").model.network
    method = VeRA(placement="all")
    method.begin_run(other, 1)
    method.begin_task(other, fomo.Task(1, 2, 3, seed=1))
    assert not torch.equal(updates(other)[0].A, first[0].A)


def test_paper_placement_is_qkv_and_c_proj_of_both_towers() -> None:
    network = tiny.prepared("model=pocket").model.network
    paper = {f"{m.name}.{m.weight}": m.blocks for m in matrices(network, "paper")}
    blocks = [f"{tower}transformer.resblocks" for tower in ("", "visual.")]
    expected: dict[str, int] = {}
    for stem in blocks:
        for i in range(len(network.get_submodule(stem))):
            expected |= {f"{stem}.{i}.attn.in_proj_weight": 3, f"{stem}.{i}.mlp.c_proj.weight": 1}
    assert paper == expected
    everywhere = {m.name for m in matrices(network, "all")}
    assert everywhere > {m.name for m in matrices(network, "paper")}
    assert {f"{blocks[0]}.0.attn.out_proj", f"{blocks[0]}.0.mlp.c_fc", "text_projection", "visual.proj"} <= everywhere


@pytest.mark.parametrize(
    ("model", "some", "count"),
    [
        ("ViT-B-16", ["visual.transformer.resblocks.0.attn", "transformer.resblocks.11.mlp.c_proj"], 48),
        ("RN50", ["visual.attnpool.q_proj", "visual.attnpool.c_proj", "transformer.resblocks.0.attn"], 28),
        ("MobileCLIP-B", ["visual.trunk.blocks.0.attn.qkv", "visual.trunk.blocks.0.mlp.fc2"], 48),
        ("EVA02-B-16", ["visual.trunk.blocks.0.attn.q_proj", "text.transformer.resblocks.0.attn"], 72),
        ("ViTamin-B", ["visual.trunk.blocks.0.attn.qkv", "visual.trunk.blocks.0.mlp.w2"], 52),
        ("convnext_base", ["visual.trunk.stages.0.blocks.0.mlp.fc2", "transformer.resblocks.0.attn"], 60),
    ],
)
def test_paper_placement_finds_both_towers_of_other_families(model: str, some: list[str], count: int) -> None:
    with torch.device("meta"):
        network = open_clip.create_model(model, device="meta", load_weights=False)
    found = {matrix.name: matrix for matrix in matrices(network, "paper")}
    assert set(some) <= set(found) and len(found) == count
    packed = [matrix for name, matrix in found.items() if name.endswith(("attn", "qkv"))]
    assert packed and all(matrix.blocks == 3 and matrix.shape[0] == matrix.shape[1] for matrix in packed)


@pytest.mark.parametrize("rank", [0, -1, 10_000])
@pytest.mark.parametrize("method", KINDS)
def test_impossible_ranks_are_refused_before_training(method: str, rank: int) -> None:
    with pytest.raises(fomo.FomoError, match=rf"trainable.rank={rank}: allowed are 1 to \d+, the smaller side of"):
        tiny.prepared(f"method={method}", f"trainable.rank={rank}")


@pytest.mark.parametrize("value", ["0", "nan", "inf", "-inf"])
@pytest.mark.parametrize("method", ["lora", "dora"])
def test_factors_with_which_nothing_trains_are_refused(method: str, value: str) -> None:
    with pytest.raises(fomo.FomoError, match=r"trainable\.scale=.*allowed are finite numbers but 0"):
        tiny.prepared(f"method={method}", f"trainable.scale={value}")


@pytest.mark.parametrize(("b", "d"), [(0, 0), (0.1, 0.1), ("nan", 0), (0, "inf")])
def test_vera_starts_at_the_base_model_and_can_leave_it(b: object, d: object) -> None:
    with pytest.raises(fomo.FomoError, match=r"trainable\.b=.*one starts at 0, the other at another"):
        tiny.prepared("method=vera", f"trainable.b={b}", f"trainable.d={d}")


@pytest.mark.parametrize("rank", [1, 4, 64])
def test_a_of_lora_is_kaiming_uniform_with_a_of_the_root_of_the_rank(rank: int) -> None:
    """±√(6/((1 + r)·n)): at rank 64 and n = 96 ±0.031, where a = √5 would give ±0.102."""
    found = LowRank(matrix_of(torch.zeros(128, 96)), rank, 1.0, drawn()).A.detach()
    expected = torch.empty(4096, 96)
    nn.init.kaiming_uniform_(expected, a=math.sqrt(rank))
    bound = math.sqrt(6 / ((1 + rank) * 96))
    assert float(expected.abs().max()) == pytest.approx(bound, rel=1e-3)
    assert bound * 0.9 < float(found.abs().max()) <= bound


def test_unknown_placement_is_refused_with_the_nearest() -> None:
    with pytest.raises(fomo.FomoError, match="Did you mean 'paper'"):
        tiny.prepared("method=lora", "trainable.placement=papers")


def test_a_model_without_linear_maps_is_refused() -> None:
    with pytest.raises(fomo.FomoError, match="no matrix to adapt"):
        LoRA().begin_run(nn.Sequential(nn.Conv2d(3, 3, 1)), 0)


@pytest.mark.parametrize("method", ["lora", "dora", "vera"])
def test_looking_for_the_matrices_computes_no_weight(method: str) -> None:
    """Else every start of a task would cost a product, and be charged for it."""
    cost = settings.cost(f"method={method}", "model=pocket", "batch_size=4", num_samples=[9, 9, 9])
    assert all(not task.begin and not task.end for task in cost.tasks[1:])
