"""The losses by name: each is the function that it says, and what it cannot take is a sentence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from training.losses import angular, contrastive
from training.losses.embedding import EMBEDDING_LOSSES, SOFT, embedding_loss

LABELS = torch.tensor([3, 3, 0, 0, 1])
E = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
ONE_HOT = functional.one_hot(LABELS, 5).float()


def test_names_mean_the_functions() -> None:
    weights = (1.0, 2.0, 3.0, 4.0)
    expected = {
        "none": torch.tensor(0.0),
        "add": angular.angular_distance_distribution(E, LABELS, weights),
        "add_plain": angular.angular_distance_distribution(E, LABELS, weights, "plain"),
        "add_pooled": angular.soft_angular_distance_distribution(E, ONE_HOT, (1, 0), count_diagonal=True),
        "opl": angular.orthogonal_projection(E, LABELS),
        "opl_scaled": 0.1 * angular.orthogonal_projection(E, LABELS, 2.0, absolute=True),
        "supcon": contrastive.supervised_contrastive(E, ONE_HOT),
        "batch_hard": contrastive.batch_hard_triplet(E, ONE_HOT),
    }
    assert tuple(expected) == EMBEDDING_LOSSES
    for name, loss in expected.items():
        torch.testing.assert_close(embedding_loss(name, E, LABELS, weights), loss)


def test_shares_of_labels_take_the_soft_form_and_rows_without_label_are_left_out() -> None:
    expected = angular.soft_angular_distance_distribution(E, ONE_HOT, (2, 3))
    more = torch.cat([E, torch.ones(1, 4)]), torch.cat([0.5 * ONE_HOT, torch.zeros(1, 5)])
    torch.testing.assert_close(embedding_loss("add", *more, (2, 3, 4, 5)), expected)
    for name in ("add_pooled", "supcon", "batch_hard"):
        torch.testing.assert_close(embedding_loss(name, *more), embedding_loss(name, E, LABELS))


def test_what_a_loss_cannot_take_is_refused() -> None:
    with pytest.raises(ValueError, match="got 'ad'; choose one of them"):
        embedding_loss("ad", E, LABELS)
    for name in set(EMBEDDING_LOSSES) - set(SOFT):
        with pytest.raises(ValueError, match=f"one label per clip for {name}"):
            embedding_loss(name, E, ONE_HOT)


def test_the_page_s_example_is_the_loss_of_the_paper(capsys: pytest.CaptureFixture[str]) -> None:
    page = Path(__file__).resolve().parents[3] / "docs" / "papers" / "angular.md"
    ((code, shown),) = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", page.read_text(), re.DOTALL)
    exec(code, {})
    assert capsys.readouterr().out == shown
