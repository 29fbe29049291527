from __future__ import annotations

from dataclasses import replace

import pytest

from engine.card import ModelInput, ModelOutput, ModelOutputs
from engine.errors import ModelError
from engine.session import Port
from engine.structure import check_structure
from tests.tiny_models import EMBEDDING_SIZE, FRONTEND, LABELS, RATE, log_mel_card, waveform_card

INPUT = Port("log_mel", "tensor(float)", ("batch", "time", FRONTEND.n_mels))
SCORES = Port("scores", "tensor(float)", ("batch", len(LABELS)))
EMBEDDING = Port("embedding", "tensor(float)", ("batch", EMBEDDING_SIZE))
FRAMES = FRONTEND.n_frames(RATE)


def check(card=None, *, source=INPUT, scores=SCORES, embedding=EMBEDDING, more=()):
    check_structure(log_mel_card() if card is None else card, [source, *more], [scores, embedding])


@pytest.mark.parametrize("shape", [("batch", "time", 8), (1, FRAMES, 8), (None, None, None), ("batch", "t", "mel")])
def test_fixed_axes_may_agree_and_others_may_be_free(shape):
    check(source=replace(INPUT, shape=shape))


@pytest.mark.parametrize(
    ("words", "ports"),
    [
        ("'mel'.*8.*64", {"source": replace(INPUT, shape=("batch", "time", 64))}),
        (f"'time'.*{FRAMES}.*100", {"source": replace(INPUT, shape=("batch", 100, 8))}),
        ("'batch'.*1.*16", {"source": replace(INPUT, shape=(16, "time", 8))}),
        ("'label'.*3.*10", {"scores": replace(SCORES, shape=("batch", 10))}),
        ("'feature'.*4.*5", {"embedding": replace(EMBEDDING, shape=("batch", 5))}),
        ("axes.*shape", {"source": replace(INPUT, shape=("batch", 1, "time", 8))}),
        ("axes.*shape", {"scores": replace(SCORES, shape=(3,))}),
        ("float32.*double", {"source": replace(INPUT, type="tensor(double)")}),
        ("float32.*int64", {"scores": replace(SCORES, type="tensor(int64)")}),
        ("input 'log_mel'.*'spectrogram'", {"source": replace(INPUT, name="spectrogram")}),
        ("output 'embedding'", {"embedding": replace(EMBEDDING, name="features")}),
        ("only input.*'state'", {"more": [Port("state", "tensor(float)", (1, 2))]}),
    ],
)
def test_disagreement_is_told(words, ports):
    with pytest.raises(ModelError, match=words.partition("input 'log_mel'")[2] or words):
        check(**ports)


def test_channel_axis_has_length_one():
    card = log_mel_card(input=ModelInput("log_mel", "log_mel", ("batch", "channel", "time", "mel")))
    check(card, source=replace(INPUT, shape=("batch", 1, "time", 8)))
    with pytest.raises(ModelError, match="'channel'"):
        check(card, source=replace(INPUT, shape=("batch", 3, "time", 8)))


def test_waveform_input_has_the_windows_length():
    card = waveform_card(input=ModelInput("waveform", "waveform", ("time",), RATE))
    source = Port("waveform", "tensor(float)", (RATE,))
    check(card, source=source)
    with pytest.raises(ModelError, match=f"'time'.*{RATE}.*16000"):
        check(card, source=replace(source, shape=(16000,)))


def test_rows_of_embeddings_may_be_any_width():
    rows = ModelInput("rows", "embedding", ("batch", "time", "feature"))
    card = waveform_card(input=rows, window=10, hop=10)
    check(card, source=Port("rows", "tensor(float)", ("batch", 10, 128)))
    with pytest.raises(ModelError, match=r"'time'.*10.*12"):
        check(card, source=Port("rows", "tensor(float)", ("batch", 12, 128)))


def test_outputs_that_the_card_does_not_name_are_left_alone():
    card = log_mel_card(outputs=ModelOutputs(scores=ModelOutput("scores", ("batch", "label"))), embedding_size=None)
    check(card, embedding=Port("attention", "tensor(int64)", (1, 2, 3)))
