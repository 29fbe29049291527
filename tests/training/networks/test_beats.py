"""BEATs: published files load as they are, and the network computes what its description says."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from engine import LogMel, Tagger
from engine.errors import ModelError
from engine.frontend import preset
from tests.training.checkpoints import BEATS_CFG, BEATS_TINY, beats_checkpoint, beats_weights
from training.convert import convert
from training.networks.beats import Beats, Sizes, bucket_of_distance, load_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

CFG = BEATS_CFG | BEATS_TINY


def described(weights: dict[str, Tensor], log_mel: Tensor, cfg: dict = CFG) -> Tensor:
    """The tokens of one clip, head by head and pair by pair, in the words of the published description."""
    w = {name: value.double() for name, value in weights.items()}

    def linear(name, x):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(name, x):
        return functional.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"])

    def bucket(distance):
        half = cfg["num_buckets"] // 2
        exact = half // 2
        far = abs(distance)
        if far >= exact:
            scaled = math.log(far / exact) / math.log(cfg["max_distance"] / exact) * (half - exact)
            far = min(exact + int(scaled + 1e-9), half - 1)
        return far + (half if distance > 0 else 0)

    size, heads = 16, cfg["encoder_attention_heads"]
    patches = [
        (w["patch_embedding.weight"] * log_mel[t : t + size, f : f + size].double()).sum(dim=(1, 2, 3))
        for t in range(0, log_mel.shape[0] - size + 1, size)
        for f in range(0, log_mel.shape[1], size)
    ]
    x = linear("post_extract_proj", norm("layer_norm", torch.stack(patches)))

    v, g, groups = w["encoder.pos_conv.0.weight_v"], w["encoder.pos_conv.0.weight_g"], cfg["conv_pos_groups"]
    kernel, width, n = v.shape[2], v.shape[0], len(x)
    moved = torch.zeros_like(x)
    for place in range(n):
        for step in range(kernel):
            source = place + step - kernel // 2
            if 0 <= source < n:
                direction = g[0, 0, step] * v[:, :, step] / v[:, :, step].square().sum().sqrt()
                for group in range(groups):
                    rows = slice(group * width // groups, (group + 1) * width // groups)
                    moved[place, rows] += direction[rows] @ x[source, rows]
    x = norm("encoder.layer_norm", x + functional.gelu(moved + w["encoder.pos_conv.0.bias"]))

    residual = (2 * cfg["encoder_layers"]) ** 0.25
    for number in range(cfg["encoder_layers"]):
        layer = f"encoder.layers.{number}"
        query, key, value = (linear(f"{layer}.self_attn.{name}_proj", x) for name in "qkv")
        out = torch.zeros_like(x)
        for head in range(heads):
            cut = slice(head * width // heads, (head + 1) * width // heads)
            table = w[f"{layer}.self_attn.relative_attention_bias.weight"][:, head]
            for i in range(n):
                gates = linear(f"{layer}.self_attn.grep_linear", query[i, cut])
                one, other = gates[:4].sum().sigmoid(), gates[4:].sum().sigmoid()
                factor = one * (other * w[f"{layer}.self_attn.grep_a"][0, head, 0, 0] - 1) + 2
                logits = torch.stack(
                    [
                        query[i, cut] @ key[j, cut] / math.sqrt(width / heads) + factor * table[bucket(j - i)]
                        for j in range(n)
                    ]
                )
                out[i, cut] = logits.softmax(0) @ value[:, cut]
        x = norm(f"{layer}.self_attn_layer_norm", residual * x + linear(f"{layer}.self_attn.out_proj", out))
        inner = linear(f"{layer}.fc2", functional.gelu(linear(f"{layer}.fc1", x)))
        x = norm(f"{layer}.final_layer_norm", residual * x + inner)
    return x


def test_it_computes_its_description(tmp_path: Path) -> None:
    network = load_checkpoint(beats_checkpoint(tmp_path / "beats.pt", n_labels=5)).double()
    weights = beats_weights(CFG, 5)
    log_mel = torch.randn(2, 53, 128, dtype=torch.float64)
    with torch.no_grad():
        tokens = network.tokens(log_mel)
        logits, embedding = network(log_mel)
        expected = torch.stack([described(weights, clip) for clip in log_mel])
        per_token = expected @ weights["predictor.weight"].double().T + weights["predictor.bias"].double()
    assert tokens.shape == (2, 3 * 8, 16)
    torch.testing.assert_close(tokens, expected)
    torch.testing.assert_close(embedding, expected.mean(dim=1))
    torch.testing.assert_close(logits, per_token.mean(dim=1))


def test_the_kernel_of_positions_is_torch_s_weight_norm() -> None:
    own = Beats(Sizes(**BEATS_TINY), None).encoder.pos_conv[0]
    peer = nn.utils.parametrizations.weight_norm(nn.Conv1d(16, 16, 6, padding=3, groups=4), dim=2)
    with torch.no_grad():
        peer.parametrizations.weight.original0.copy_(2 * own.weight_g)
        peer.parametrizations.weight.original1.copy_(own.weight_v)
        own.weight_g.mul_(2)
        peer.bias.copy_(own.bias)
        x = torch.randn(2, 16, 9)
        torch.testing.assert_close(own(x), peer(x)[:, :, :-1])


def test_newer_names_of_the_weight_norm_and_a_table_written_once_are_the_same(tmp_path: Path) -> None:
    old = load_checkpoint(beats_checkpoint(tmp_path / "old.pt"))
    weights = beats_weights(CFG)
    for new, name in (("original0", "weight_g"), ("original1", "weight_v")):
        weights[f"encoder.pos_conv.0.parametrizations.weight.{new}"] = weights.pop(f"encoder.pos_conv.0.{name}")
    del weights["encoder.layers.1.self_attn.relative_attention_bias.weight"]
    newer = load_checkpoint(beats_checkpoint(tmp_path / "new.pt", model=weights))
    assert old.state_dict().keys() == newer.state_dict().keys()
    assert all(torch.equal(value, newer.state_dict()[name]) for name, value in old.state_dict().items())


def test_buckets_are_exact_then_logarithmic_then_one() -> None:
    buckets = bucket_of_distance(320, 800)
    assert buckets[:80].tolist() == list(range(80))
    assert buckets[80] == 80
    assert buckets[-1] == buckets[-2] == 159
    assert (buckets.diff() >= 0).all()
    assert buckets[253] == 80 + int(80 * math.log(253 / 80) / math.log(10))


def test_keys_before_and_behind_the_query_have_buckets_of_their_own() -> None:
    encoder = Beats(Sizes(**BEATS_TINY), None).encoder
    with torch.no_grad():
        encoder.layers[0].self_attn.relative_attention_bias.weight.copy_(torch.arange(16)[:, None].expand(16, 2))
        bias = encoder.position_bias(30)
    assert bias.shape == (2, 30, 30)
    assert bias[0, 10, 8:13].tolist() == [2, 1, 0, 9, 10]
    assert bias[0, 0, 29] == 15
    assert bias[1, 29, 0] == 7


def test_layers_share_one_table_and_all_of_it_learns() -> None:
    network = Beats(Sizes(**BEATS_TINY, dropout=0.0, dropout_input=0.0), 3)
    tables = {id(layer.self_attn.relative_attention_bias) for layer in network.encoder.layers}
    assert len(tables) == 1
    logits, embedding = network(torch.randn(2, 40, 128))
    (logits.square().sum() + embedding[:, 0].sum()).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in network.parameters())


def test_initial_weights_have_the_published_gain() -> None:
    torch.manual_seed(0)
    layer = Beats(Sizes(encoder_layers=12).scaled(128), 3).encoder.layers[3]
    assert layer.residual == pytest.approx(2.2134, abs=1e-4)
    gain = layer.self_attn.v_proj.weight.std() / layer.self_attn.q_proj.weight.std()
    assert gain.item() == pytest.approx(0.3195, rel=0.02)


def test_a_new_last_layer_takes_the_place_of_the_old(tmp_path: Path) -> None:
    for name, n_labels in (("pre-trained.pt", None), ("fine-tuned.pt", 7)):
        path = beats_checkpoint(tmp_path / name, n_labels=n_labels)
        network = load_checkpoint(path, 4)
        assert network(torch.randn(2, 32, 128))[0].shape == (2, 4)
    with pytest.raises(ModelError, match="pre-trained one without"):
        load_checkpoint(tmp_path / "pre-trained.pt")(torch.randn(1, 32, 128))


def without(name):
    return lambda weights: weights.pop(name)


def put(name, *shape):
    return lambda weights: weights.update({name: torch.zeros(shape)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("encoder.layer_norm.bias"), r"'missing': \['encoder\.layer_norm\.bias'\]"),
        (put("encoder.extra", 3), r"'unexpected': \['encoder\.extra'\]"),
        (put("post_extract_proj.bias", 3), r"'of another shape': \['post_extract_proj\.bias'\]"),
        (put("encoder.layers.1.self_attn.relative_attention_bias.weight", 16, 2), "layer 1 has another"),
    ],
)
def test_other_weights_are_refused_by_name(tmp_path: Path, change, message: str) -> None:
    weights = beats_weights(CFG)
    change(weights)
    with pytest.raises(ModelError, match=message):
        load_checkpoint(beats_checkpoint(tmp_path / "beats.pt", model=weights))


def test_other_networks_and_files_are_one_sentence(tmp_path: Path) -> None:
    path = beats_checkpoint(tmp_path / "beats.pt", BEATS_TINY | {"layer_norm_first": True})
    with pytest.raises(ModelError, match=r"layer_norm_first=False.*got True"):
        load_checkpoint(path)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(ModelError, match="it cannot be read") as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)
    torch.save({"model": {}}, path)
    with pytest.raises(ModelError, match="KeyError 'cfg'"):
        load_checkpoint(path)


def test_the_engine_runs_a_fine_tuned_one_at_any_length(tmp_path: Path) -> None:
    """Labels are the checkpoint's own, which are in another order than AudioSet's."""
    names = {0: "/m/rain", 1: "/m/dog", 2: "/m/speech"}
    path = beats_checkpoint(tmp_path / "beats.pt", n_labels=3, label_dict=names)
    card = convert("beats", path, tmp_path / "beats.onnx")
    assert card.labels == ("/m/rain", "/m/dog", "/m/speech")
    assert (card.score, card.embedding_size, card.frontend.mean) == ("sigmoid", 16, 15.41663)
    with Tagger(tmp_path / "beats.onnx", device="cpu", threads=1) as tagger:
        samples = (0.1 * np.random.default_rng(0).standard_normal(16_000)).astype(np.float32)
        clip = tagger.embed((samples, 16_000), window_s=1.0)
    log_mel = LogMel(preset("beats"), warn_empty=False)
    with torch.no_grad():
        logits, embedding = load_checkpoint(path)(torch.from_numpy(log_mel(samples))[None])
    np.testing.assert_allclose(clip.scores, logits[0].sigmoid(), atol=1e-5)
    np.testing.assert_allclose(clip.embedding, embedding[0], atol=1e-5)
    with pytest.raises(ModelError, match="pre-trained"):
        convert("beats", beats_checkpoint(tmp_path / "pre-trained.pt"), tmp_path / "other.onnx", labels=["a"])


@pytest.mark.slow
def test_the_published_size(tmp_path: Path) -> None:
    """90 million weights; every one of the file is in the network."""
    path = beats_checkpoint(tmp_path / "BEATs_iter3_plus_AS2M.pt", {})
    network = load_checkpoint(path)
    assert network.sizes == Sizes(dropout=0.0, attention_dropout=0.0, dropout_input=0.0, encoder_layerdrop=0.05)
    # The layers' tables are one tensor in the file, too.
    published = {id(value): value.numel() for value in torch.load(path, mmap=True)["model"].values()}
    assert sum(parameter.numel() for parameter in network.parameters()) == sum(published.values())
    with torch.no_grad():
        assert network.tokens(torch.randn(1, 98, 128)).shape == (1, 48, 768)
