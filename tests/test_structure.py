from __future__ import annotations

from dataclasses import replace

import pytest

from engine.card import ModelConstant, ModelInput, ModelOutput, ModelOutputs, ModelState
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
        ("inputs are.*log_mel.*also.*'state'", {"more": [Port("state", "tensor(float)", (1, 2))]}),
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


STATE = ModelState("h", "h_next", (2, 1, 4))
CONSTANT = ModelConstant("rate", "int64", (), 8000)
STATEFUL = waveform_card(input=ModelInput("waveform", "waveform", ("time",), RATE, 64, (STATE,), (CONSTANT,)))
PORTS = {
    "waveform": Port("waveform", "tensor(float)", (RATE + 64,)),
    "h": Port("h", "tensor(float)", (2, "batch", 4)),
    "rate": Port("rate", "tensor(int64)", ()),
}
NEXT = Port("h_next", "tensor(float)", (2, None, 4))


def check_stateful(changes, following=NEXT):
    ports = [*(PORTS | changes).values()]
    check_structure(STATEFUL, [port for port in ports if port], [SCORES, following])


@pytest.mark.parametrize("time", [RATE + 64, "time"])
def test_context_states_and_constants_fit(time):
    check_stateful({"waveform": replace(PORTS["waveform"], shape=(time,))})


@pytest.mark.parametrize(
    ("words", "changes", "following"),
    [
        (
            f"'time' of input 'waveform'.*{RATE + 64}.*{RATE}",
            {"waveform": replace(PORTS["waveform"], shape=(RATE,))},
            NEXT,
        ),
        ("input 'h' that the card names", {"h": None}, NEXT),
        ("input 'h'.*shape.*2, 1, 4.*2, 1, 5", {"h": replace(PORTS["h"], shape=(2, 1, 5))}, NEXT),
        ("input 'h'.*shape", {"h": replace(PORTS["h"], shape=(2, 4))}, NEXT),
        ("input 'h'.*float32.*double", {"h": replace(PORTS["h"], type="tensor(double)")}, NEXT),
        ("output 'h_next' that the card names", {}, replace(NEXT, name="h")),
        ("output 'h_next'.*shape", {}, replace(NEXT, shape=(1, 1, 4))),
        ("input 'rate' that the card names", {"rate": None}, NEXT),
        ("input 'rate'.*int64.*int32", {"rate": replace(PORTS["rate"], type="tensor(int32)")}, NEXT),
        ("input 'rate'.*shape", {"rate": replace(PORTS["rate"], shape=(1,))}, NEXT),
        ("also.*'c'", {"c": replace(PORTS["h"], name="c")}, NEXT),
    ],
)
def test_states_and_constants_that_disagree_are_told(words, changes, following):
    with pytest.raises(ModelError, match=words):
        check_stateful(changes, following)


def framed_card(**changes):
    outputs = ModelOutputs(
        frames=ModelOutput("frames", ("label", "batch", "time")),
        embedding=ModelOutput("embedding", ("batch", "time", "feature")),
    )
    return log_mel_card(outputs=outputs, frame_hop=80, frame_length=200, **changes)


@pytest.mark.parametrize("frames", [50, "time"])
def test_frames_and_embeddings_may_have_any_time_axis(frames):
    scores = Port("frames", "tensor(float)", (len(LABELS), 1, frames))
    check(framed_card(), scores=scores, embedding=replace(EMBEDDING, shape=("batch", frames, EMBEDDING_SIZE)))


def test_frames_have_one_row_per_label():
    embedding = replace(EMBEDDING, shape=(1, "time", EMBEDDING_SIZE))
    with pytest.raises(ModelError, match=r"'label' of output 'frames'.*3.*10"):
        check(framed_card(), scores=Port("frames", "tensor(float)", (10, 1, "time")), embedding=embedding)
    with pytest.raises(ModelError, match=r"output 'frames'.*axes"):
        check(framed_card(), scores=Port("frames", "tensor(float)", (3, "time")), embedding=embedding)


def test_a_network_with_a_thousand_inputs_is_refused_in_one_short_sentence():
    with pytest.raises(ModelError) as caught:
        check(more=[Port(f"input_{i}", "tensor(float)", (1,)) for i in range(1000)])
    assert len(str(caught.value)) < 400
