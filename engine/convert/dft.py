"""The DFT of real frames as two small matrix products instead of one large one: smaller, faster and closer.

With N = rows * columns, n = columns * a + b and k = p + rows * q (Cooley and Tukey, 1965):

    X[p + rows q] = sum over b of exp(-2 pi i b (p + rows q) / N)
                  * sum over a of exp(-2 pi i a p / rows) x[columns a + b]

Frames are real, so p from 0 to rows / 2 gives every bin or its mirror image, whose power is the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class FactoredDFT:
    """The matrices of a transform of ``n_fft`` samples, the last ``n_fft - length`` of them zero.

    Attributes
    ----------
    given_rows, columns : int
        Frames come as (given_rows, columns), zeros behind ``length``.
    half : int
        How many values of p there are.
    inner : ndarray, shape (2 * half, given_rows), float32
        The inner sum: real and imaginary part of each p in turn.
    outer : ndarray, shape (half, 2 * columns, 2 * columns), float32
        For each p the outer sum, of ``columns`` real parts followed by as many imaginary ones.
    bins : ndarray, shape (half, columns), int
        The bin from 0 to n_fft // 2 that each (p, q) holds the power of; -1 where another one holds it too.
    """

    given_rows: int
    columns: int
    half: int
    inner: NDArray[np.float32]
    outer: NDArray[np.float32]
    bins: NDArray[np.int64]

    @classmethod
    def planned(cls, n_fft: int, length: int) -> FactoredDFT:
        """Return the transform with the fewest multiplications; a prime ``n_fft`` has only the plain one."""
        divisors = [d for d in range(1, n_fft + 1) if n_fft % d == 0]
        return cls._of(n_fft, length, min(divisors, key=lambda columns: _multiplications(n_fft, length, columns)))

    @classmethod
    def _of(cls, n_fft: int, length: int, columns: int) -> FactoredDFT:
        rows = n_fft // columns
        half, given_rows = rows // 2 + 1, -(-length // columns)
        p, a, b = np.arange(half), np.arange(given_rows), np.arange(columns)
        inner = _roots(np.outer(p, a), rows)
        k = p[:, None] + rows * b  # q takes the values that b takes
        outer = _roots(b[None, :, None] * k[:, None, :], n_fft)
        mirrored = np.minimum(k, n_fft - k)
        bins = np.full(k.shape, -1)
        first = np.unique(mirrored, return_index=True)[1]
        bins.flat[first] = mirrored.flat[first]
        return cls(
            given_rows,
            columns,
            half,
            np.stack([inner.real, inner.imag], axis=1).reshape(2 * half, given_rows).astype(np.float32),
            # (re + i im)(c + i s) = (re c - im s) + i (re s + im c)
            np.concatenate(
                [
                    np.concatenate([outer.real, outer.imag], axis=2),
                    np.concatenate([-outer.imag, outer.real], axis=2),
                ],
                axis=1,
            ).astype(np.float32),
            bins,
        )


def _multiplications(n_fft: int, length: int, columns: int) -> int:
    half = n_fft // columns // 2 + 1
    return 2 * half * -(-length // columns) * columns + half * (2 * columns) ** 2


def _roots(turns: NDArray[np.int64], n: int) -> NDArray[np.complex128]:
    """Return exp(-2 pi i turns / n); whole turns are taken off first, which costs no digit."""
    roots: NDArray[np.complex128] = np.exp(-2j * np.pi * (turns % n) / n)
    return roots
