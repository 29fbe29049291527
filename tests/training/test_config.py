"""Command-line fields: every type, and every way to get one wrong."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from engine.errors import ConfigError
from training.config import parse_fields


@dataclass(frozen=True)
class Dashed:
    embedding_loss: str = "none"


def test_a_name_may_have_dashes() -> None:
    assert parse_fields(Dashed, ["--embedding-loss=a-b"]) == Dashed("a-b")
    with pytest.raises(ConfigError, match="--embedding_loss once"):
        parse_fields(Dashed, ["--embedding-loss=add", "--embedding_loss=add"])


@dataclass(frozen=True)
class Example:
    epochs: int = 3
    rate: float = 0.5
    final: bool = True
    name: str = "a"
    seeds: tuple[int, ...] = (0,)


def test_values_take_the_type_of_their_field() -> None:
    given = ["--epochs=7", "--rate=1e-3", "--final=false", "--name=x=y", "--seeds=1,2"]
    assert parse_fields(Example, given) == Example(7, 1e-3, False, "x=y", (1, 2))


def test_no_arguments_give_the_defaults() -> None:
    assert parse_fields(Example, []) == Example()


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--epoch=7", "one of the fields epochs, rate, final, name, seeds, got 'epoch'"),
        ("--epochs=7.0", "a whole number for --epochs, got '7.0'"),
        ("--epochs=", "a whole number for --epochs, got ''"),
        ("--rate=fast", "a finite number for --rate, got 'fast'"),
        ("--rate=nan", "a finite number for --rate"),
        ("--rate=inf", "a finite number for --rate"),
        ("--final=0", "true or false for --final, got '0'"),
        ("--seeds=1,b", "a whole number for --seeds, got 'b'"),
        ("--epochs", "--field=value, got '--epochs'"),
        ("epochs=7", "--field=value, got 'epochs=7'"),
    ],
)
def test_mistakes_are_one_sentence(argument: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_fields(Example, [argument])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_field_is_given_once() -> None:
    with pytest.raises(ConfigError, match="--epochs once"):
        parse_fields(Example, ["--epochs=1", "--epochs=2"])
