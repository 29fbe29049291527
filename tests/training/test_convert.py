"""Published checkpoints to models: what the engine says of a clip is what their own code says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torchlibrosa.stft import LogmelFilterBank, Spectrogram

from engine import Tagger
from engine.convert import Recording, convert_model
from engine.errors import ConfigError, ModelError
from engine.frontend import preset
from engine.labels import read_labels
from tests.training.cards import small_card
from tests.training.checkpoints import AST_LABELS, ast_folder, cnn14_checkpoint, cnn14_weights
from tests.training.networks.test_cnn14 import described
from training.__main__ import main
from training.convert import NETWORKS, convert
from training.export import Scored, check_parity, to_onnx
from training.networks.cnn14 import load_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

# AST's third band holds no bin of its transform, which both front ends say.
pytestmark = [pytest.mark.filterwarnings(f"ignore:{start}") for start in ("mel filters", "At least one mel filter")]

LABELS = ("Speech", "Dog", "Rain", "Chainsaw", "Rooster")


def sound(n_samples: int) -> NDArray[np.float32]:
    """Noise whose level rises and falls: no frame is like another."""
    level = np.sin(np.linspace(0, 20, n_samples)) ** 2
    return (0.1 * level * np.random.default_rng(0).standard_normal(n_samples)).astype(np.float32)


@pytest.fixture(scope="module")
def cnn14(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cnn14")
    checkpoint = cnn14_checkpoint(folder / "Cnn14_mAP=0.431.pth")
    origin = {"training_data": "AudioSet", "licence": "CC BY 4.0", "attribution": "Kong et al."}
    convert("cnn14", checkpoint, folder / "cnn14.onnx", labels=LABELS, **origin)
    return folder / "cnn14.onnx"


def test_cnn14_agrees_with_the_published_front_end_and_layers(cnn14: Path) -> None:
    samples = sound(320000)
    clip = Tagger(cnn14, device="cpu", threads=1)((samples, 32000))
    spectrogram = Spectrogram(n_fft=1024, hop_length=320, win_length=1024, freeze_parameters=True)
    log_mel = LogmelFilterBank(
        sr=32000, n_fft=1024, n_mels=64, fmin=50, fmax=14000, ref=1.0, amin=1e-10, top_db=None, freeze_parameters=True
    )
    with torch.no_grad():
        frames = log_mel(spectrogram(torch.from_numpy(samples)[None]))[:, 0]
        logits, embedding = described(cnn14_weights(), frames)
    np.testing.assert_allclose(clip.scores, logits[0].sigmoid(), atol=1e-4)
    assert clip.embedding is not None
    np.testing.assert_allclose(clip.embedding, embedding[0], atol=1e-3, rtol=1e-3)


def test_cnn14_takes_any_length(cnn14: Path) -> None:
    clip = Tagger(cnn14, device="cpu", threads=1)((sound(32000), 32000), window_s=1.0)
    assert clip.scores.shape == (5,)
    assert len(clip.windows) == 1


def test_the_card_says_where_weights_come_from(cnn14: Path) -> None:
    card = Tagger(cnn14, device="cpu", threads=1).card
    assert (card.training_data, card.licence, card.attribution) == ("AudioSet", "CC BY 4.0", "Kong et al.")
    assert (card.name, card.score, card.reduce, card.embedding_normalised) == ("cnn14", "sigmoid", "max", False)
    assert (card.sample_rate, card.window, card.hop, card.embedding_size) == (32000, 320000, 320000, 64)


@pytest.mark.slow
def test_cnn14_of_the_published_size(tmp_path: Path) -> None:
    labels = tuple(f"label {number}" for number in range(527))
    checkpoint = cnn14_checkpoint(tmp_path / "Cnn14_mAP=0.431.pth", cnn14_weights(width=64, n_labels=527))
    network = load_checkpoint(checkpoint)
    card = small_card(labels=labels, frontend=preset("panns32k"), window=32000, hop=32000, embedding_size=2048)
    scored = Scored(network, card).eval()
    check_parity(scored, to_onnx(scored, card), [(1, 101), (2, 69)])


@pytest.mark.parametrize("seconds", [0.3, 0.655, 0.8])
def test_ast_agrees_with_transformers(tmp_path: Path, seconds: float) -> None:
    """Shorter than a window, exactly one, and longer: transformers cuts what is longer, the engine goes on with it."""
    from transformers import ASTFeatureExtractor, ASTForAudioClassification

    folder = ast_folder(tmp_path / "ast")
    card = convert("ast", folder, tmp_path / "ast.onnx")
    assert (card.labels, card.pad, card.window) == (AST_LABELS, "frames", 400 + 63 * 160)
    samples = sound(round(seconds * 16000))
    first = next(Tagger(tmp_path / "ast.onnx", device="cpu", threads=1).windows((samples, 16000)))
    features = ASTFeatureExtractor.from_pretrained(folder)(samples, sampling_rate=16000, return_tensors="pt")
    peer = ASTForAudioClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        expected = peer(features["input_values"].float()).logits[0].sigmoid()
    np.testing.assert_allclose(first.scores, expected, atol=1e-4)


def test_ast_for_classes_that_exclude_each_other(tmp_path: Path) -> None:
    card = convert("ast", ast_folder(tmp_path / "ast"), tmp_path / "ast.onnx", score="softmax", labels=("a", "b", "c"))
    assert (card.labels, card.score, card.reduce) == (("a", "b", "c"), "softmax", "mean")
    clip = Tagger(tmp_path / "ast.onnx", device="cpu", threads=1)((sound(16000), 16000))
    assert float(clip.scores.sum()) == pytest.approx(1, abs=1e-5)


def test_ast_has_variants(tmp_path: Path) -> None:
    """From 128 columns on, 8 bits make its matrices faster."""
    folder = ast_folder(tmp_path / "ast", hidden_size=128, intermediate_size=512, num_hidden_layers=1)
    convert("ast", folder, tmp_path / "ast.onnx")
    recordings = [Recording(None, sound(n), None) for n in range(9000, 12000, 100)]
    samples = (recordings[0].samples, 16000)
    expected = Tagger(tmp_path / "ast.onnx", device="cpu", threads=1)(samples).scores
    for variant in ("fp16", "int8"):
        made = convert_model(tmp_path / "ast.onnx", variant, tmp_path, recordings)
        given = Tagger(made.path, device="cpu", threads=1)(samples).scores
        np.testing.assert_allclose(given, expected, atol=0.02)
        assert (given != expected).any()


@pytest.mark.parametrize(
    ("clip", "expected"),
    [
        ("1-100032-A-0", {"Dog", "Animal"}),
        ("2-101676-A-1", {"Rain", "Water", "Frying (food)"}),
        ("2-68391-B-7", {"Chainsaw", "Light engine (high frequency)", "Vehicle"}),
        ("2-128631-A-5", {"Sneeze"}),
        ("3-107219-A-8", {"Chicken, rooster", "Fowl", "Crowing, cock-a-doodle-doo"}),
        ("3-151081-B-3", {"Crying, sobbing", "Baby cry, infant cry"}),
        ("1-172649-E-6", {"Helicopter", "Aircraft"}),
        ("1-21935-A-4", {"Clock", "Tick-tock"}),
    ],
)
def test_yamnet_hears_what_is_there(yamnet: Tagger, shared_data: Path, clip: str, expected: set[str]) -> None:
    result = yamnet(shared_data / "esc10_dev" / "audio" / f"{clip}.ogg")
    assert expected & {tag.label for tag in result.top(3)}


def test_yamnet_s_windows_are_the_published_ones(yamnet: Tagger, shared_data: Path) -> None:
    result = yamnet(shared_data / "esc10_dev" / "audio" / "1-100032-A-0.ogg")
    starts = [window.start_s for window in result.windows]
    assert starts[:3] == [0, 0.48, 0.96]
    assert result.windows[0].end_s == 0.975
    assert len(result.labels) == 521


@pytest.fixture(scope="module")
def yamnet(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Tagger:
    models, path = shared_data / "models", tmp_path_factory.mktemp("yamnet") / "yamnet.onnx"
    labels = read_labels(models / "yamnet" / "yamnet_class_map.csv")
    convert("yamnet", models / "yamnet_spectra_coral" / "yamnet_spectra_in.tflite", path, labels=labels)
    return Tagger(path, device="cpu", threads=1)


def test_what_does_not_fit_is_refused_and_nothing_written(tmp_path: Path) -> None:
    checkpoint, output = cnn14_checkpoint(tmp_path / "c.pth"), tmp_path / "cnn14.onnx"
    with pytest.raises(ConfigError, match=r"one of the networks ast, beats, cnn14, yamnet, got 'vggish'"):
        convert("vggish", checkpoint, output, labels=LABELS)
    with pytest.raises(ConfigError, match="a checkpoint of cnn14 has none; name their file with --labels"):
        convert("cnn14", checkpoint, output)
    with pytest.raises(ModelError, match=r"card's sizes \[4, 64\], got \[5, 64\]"):
        convert("cnn14", checkpoint, output, labels=LABELS[:4])
    assert not output.exists()
    output.write_text("mine")
    with pytest.raises(ConfigError, match="which exists; rename it or add --overwrite"):
        convert("cnn14", checkpoint, output, labels=LABELS)
    assert output.read_text() == "mine"


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "labels.csv").write_text(
        "index,mid,display_name\n" + "".join(f"{number},/m/{number},{label}\n" for number, label in enumerate(LABELS))
    )
    command = ["convert", "cnn14", "--checkpoint", str(cnn14_checkpoint(tmp_path / "c.pth"))]
    command += ["--labels", str(tmp_path / "labels.csv"), "-o", str(tmp_path / "m.onnx")]
    assert main([*command, "--licence", "CC BY 4.0"]) == 0
    assert "5 labels, windows of 10 s" in capsys.readouterr().out
    card = Tagger(tmp_path / "m.onnx", device="cpu", threads=1).card
    assert (card.labels, card.licence, card.attribution) == (LABELS, "CC BY 4.0", "unknown")
    assert main(command) == 2
    assert capsys.readouterr().err.startswith("python -m training convert: expected a new file")
    (tmp_path / "c.pth").write_bytes(b"")
    assert main([*command, "--overwrite"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["convert"], "required: network"),
        (["convert", "vggish", "--checkpoint", "x", "-o", "y"], "invalid choice: 'vggish'"),
        (["convert", "cnn14", "-o", "y"], "required: --checkpoint"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_the_command_line_offers_every_network(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["convert", "--help"])
    assert "{" + ",".join(sorted(NETWORKS)) + "}" in capsys.readouterr().out
