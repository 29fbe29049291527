"""Augmentations of mel spectrograms: pure functions with an explicit generator.

All but ``mask`` take and return mel power (not its logarithm), so that a frame of true zeros is silence and adding two
spectrograms is adding two sounds, up to their interference. Shapes are (batch, n_frames, n_mels) throughout.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def uniform(low: float, high: float, shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Return float32 values drawn evenly from [low, high)."""
    return low + (high - low) * torch.rand(shape, generator=generator)


def crop_stretched(
    power: Tensor, lengths: Tensor, n_frames: int, max_stretch: float, generator: Generator, max_shift: float = 0.0
) -> Tensor:
    """Cut ``n_frames`` out of each spectrogram at a random place and speed.

    The speed is drawn log-uniformly from [1 / max_stretch, max_stretch]; frames between two others are interpolated
    linearly. Of two places the one with more power is kept, so that a cut seldom misses the sound. A spectrogram
    shorter than the cut lies at a random place in it, with zeros around it.

    Parameters
    ----------
    power : Tensor, shape (batch, n_longest, n_mels)
    lengths : Tensor, shape (batch,), int64
        Number of true frames of each; the frames after them are not read.
    n_frames : int
    max_stretch : float
        At least 1.
    max_shift : float
        Frames that a cut may begin earlier or later than those places, over the recording's ends; zeros lie there.

    Returns
    -------
    Tensor, shape (batch, n_frames, n_mels)
    """
    batch = len(power)
    log_stretch = torch.log(torch.tensor(max_stretch))
    speed = torch.exp(log_stretch * uniform(-1, 1, (batch,), generator))
    # A negative slack starts the cut before the first frame: the place of a short sound in its surrounding silence.
    slack = lengths - n_frames * speed
    places = [slack * torch.rand(batch, generator=generator) for _ in range(2)]
    if max_shift:
        places = [place + uniform(-max_shift, max_shift, (batch,), generator) for place in places]
    one, other = (_read(power, lengths, place, speed, n_frames) for place in places)
    louder = one.sum(dim=(1, 2)) >= other.sum(dim=(1, 2))
    return torch.where(louder[:, None, None], one, other)


def _read(power: Tensor, lengths: Tensor, start: Tensor, speed: Tensor, n_frames: int) -> Tensor:
    positions = start[:, None] + speed[:, None] * torch.arange(n_frames)
    before = positions.floor()
    share = (positions - before)[..., None]
    frames = []
    for index in (before.long(), before.long() + 1):
        inside = (index >= 0) & (index < lengths[:, None])
        gathered = power.gather(1, (index * inside)[..., None].expand(-1, -1, power.shape[2]))
        frames.append(gathered * inside[..., None])
    return (1 - share) * frames[0] + share * frames[1]


def keep_part(power: Tensor, share: float, shortest: int, generator: Generator) -> Tensor:
    """Silence all but one random stretch of at least ``shortest`` frames, in a ``share`` of the batch.

    What is left looks like a short clip, padded to the window, or an event cut off by the window's edge.
    """
    batch, n_frames, _ = power.shape
    chosen = torch.rand(batch, generator=generator) < share
    length = torch.where(chosen, uniform(shortest, n_frames, (batch,), generator), torch.tensor(float(n_frames)))
    start = (n_frames - length) * torch.rand(batch, generator=generator)
    time = torch.arange(n_frames)
    kept = (time >= start[:, None]) & (time < (start + length)[:, None])
    return power * kept[..., None]


def audible(power: Tensor, loudest: Tensor, below_db: float) -> Tensor:
    """Return which frames lie at most ``below_db`` under ``loudest``: 1 there, 0 elsewhere.

    A cut that has lost its sound holds the recording's background, or nothing: none of the labels.

    Parameters
    ----------
    power : Tensor, shape (batch, n_frames, n_mels)
    loudest : Tensor, shape (batch,)
        Power of the loudest frame of the whole recording, summed over its bands.
    below_db : float

    Returns
    -------
    Tensor, shape (batch, n_frames)
    """
    return (power.sum(dim=2) > loudest[:, None] * 10 ** (-below_db / 10)).to(power.dtype)


def mix(
    power: Tensor, targets: Tensor, share: float, max_below_db: float, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Add to a ``share`` of the batch another of its spectrograms, 0 to ``max_below_db`` dB weaker in mean power.

    The targets become the larger of the two: both sounds are there.

    Parameters
    ----------
    targets : Tensor, shape (batch, n_labels), or (batch, n_frames, n_labels)
    """
    batch = len(power)
    partner = torch.randperm(batch, generator=generator)
    below_db = uniform(0, max_below_db, (batch,), generator)
    chosen = torch.rand(batch, generator=generator) < share
    mean = power.mean(dim=(1, 2))
    gain = mean / mean[partner] * 10 ** (-below_db / 10)
    # Silence has no level: it is neither added nor added to.
    chosen &= (gain > 0) & gain.isfinite()
    gain = torch.where(chosen, gain, 0)
    mixed = chosen.view(-1, *[1] * (targets.ndim - 1))
    mixed_targets = torch.where(mixed, torch.maximum(targets, targets[partner]), targets)
    return power + gain[:, None, None] * power[partner], mixed_targets


def mixup(power: Tensor, targets: Tensor, share: float, generator: Generator) -> tuple[Tensor, Tensor]:
    """Replace a ``share`` of the batch by weighted means of two of its spectrograms, and targets by those of the two.

    H. Zhang et al., "mixup: Beyond empirical risk minimization" (2018), equation 1, on power, with the weight of the
    first drawn evenly from one half to one. Unlike ``mix`` it says how much of either there is: for labels that exclude
    each other.

    Parameters
    ----------
    power : Tensor, shape (batch, n_frames, n_mels)
    targets : Tensor, shape (batch, n_labels), or (batch, n_frames, n_labels)
    share : float
        Rows that are blended, each by chance; the others stay.

    Returns
    -------
    power, targets : Tensor
        Of the shapes given, new.
    """
    batch = len(power)
    partner = torch.randperm(batch, generator=generator)
    chosen = torch.rand(batch, generator=generator) < share
    first = torch.where(chosen, uniform(0.5, 1.0, (batch,), generator), 1.0)
    blended = []
    for values in (power, targets):
        weight = first.view(-1, *[1] * (values.ndim - 1))
        blended.append(weight * values + (1 - weight) * values[partner])
    return blended[0], blended[1]


def lay_under(
    power: Tensor, below: Tensor, share: float, below_db: tuple[float, float], generator: Generator
) -> Tensor:
    """Add to a ``share`` of the batch another sound, weaker by a random number of decibels in mean power.

    Parameters
    ----------
    power : Tensor, shape (batch, n_frames, n_mels)
    below : Tensor, shape (batch, n_frames, n_mels)
        The other sounds, row by row; silence stays silence.
    share : float
    below_db : tuple of float
        Least and largest number of decibels.
    """
    batch = len(power)
    gain = power.mean(dim=(1, 2)) / below.mean(dim=(1, 2)) * 10 ** (-uniform(*below_db, (batch,), generator) / 10)
    chosen = (torch.rand(batch, generator=generator) < share) & (gain > 0) & gain.isfinite()
    return power + torch.where(chosen, gain, 0)[:, None, None] * below


def splice(power: Tensor, targets: Tensor, share: float, label: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Join in a ``share`` of the batch the beginning of one word and the end of another: a word that is none of them.

    The place of the joint is drawn from the middle third. Only rows of different labels are joined.

    Parameters
    ----------
    power : Tensor, shape (batch, n_frames, n_mels)
    targets : Tensor, shape (batch, n_labels)
    share : float
    label : int
        What the joined words are.
    """
    batch, n_frames, _ = power.shape
    partner = torch.randperm(batch, generator=generator)
    joint = uniform(n_frames / 3, 2 * n_frames / 3, (batch,), generator)
    chosen = torch.rand(batch, generator=generator) < share
    chosen &= (targets * targets[partner]).sum(dim=1) == 0
    later = (torch.arange(n_frames) >= joint[:, None]) & chosen[:, None]
    joined = torch.where(later[..., None], power[partner], power)
    none = torch.zeros_like(targets)
    none[:, label] = 1
    return joined, torch.where(chosen[:, None], none, targets)


def equalise(power: Tensor, range_db: float, n_points: int, generator: Generator) -> Tensor:
    """Filter each spectrogram by a random curve: ``n_points`` gains within +-``range_db`` dB, joined by lines."""
    gains_db = uniform(-range_db, range_db, (len(power), 1, n_points), generator)
    curve_db = torch.nn.functional.interpolate(gains_db, size=power.shape[2], mode="linear", align_corners=True)
    return power * 10 ** (curve_db / 10)


def limit_band(power: Tensor, share: float, lowest: int, generator: Generator) -> Tensor:
    """Silence, in a ``share`` of the batch, all bands above a random one that is not below ``lowest``.

    So look recordings of a low sample rate, and what lossy codecs leave.
    """
    batch, _, n_mels = power.shape
    chosen = torch.rand(batch, generator=generator) < share
    cutoff = torch.where(chosen, torch.randint(lowest, n_mels, (batch,), generator=generator), n_mels)
    return power * (torch.arange(n_mels) <= cutoff[:, None])[:, None, :]


def add_noise(power: Tensor, share: float, snr_db: tuple[float, float], tilt_db: float, generator: Generator) -> Tensor:
    """Add stationary noise to a ``share`` of the batch, at a random ratio of mean powers and a random spectral tilt.

    The power of Gaussian noise in one bin is exponentially distributed; ``tilt_db`` is the largest difference between
    the lowest and the highest band.
    """
    batch, n_frames, n_mels = power.shape
    chosen = torch.rand(batch, generator=generator) < share
    tilt = uniform(-tilt_db, tilt_db, (batch, 1, 1), generator)
    colour = 10 ** (tilt * torch.linspace(-0.5, 0.5, n_mels) / 10)
    noise = -torch.log1p(-torch.rand(batch, n_frames, n_mels, generator=generator)) * colour
    ratio = 10 ** (-uniform(*snr_db, (batch,), generator) / 10)
    gain = torch.where(chosen, ratio * power.mean(dim=(1, 2)) / noise.mean(dim=(1, 2)), 0)
    return power + gain[:, None, None] * noise


def mix_styles(log_mel: Tensor, share: float, generator: Generator) -> Tensor:
    """Give a ``share`` of the batch, band by band, mean and deviation over time between its own and those of another.

    F. Schmid et al., "Knowledge distillation from transformers for low-complexity acoustic scene classification"
    (DCASE 2022), Freq-MixStyle, with the weight of the own statistics drawn evenly from one half to one. Labels stay:
    what is heard is in the pattern, the colour is the recording's.
    """
    batch = len(log_mel)
    mean, deviation = log_mel.mean(dim=1, keepdim=True), log_mel.std(dim=1, keepdim=True).clamp_min(1e-4)
    partner = torch.randperm(batch, generator=generator)
    own = uniform(0.5, 1.0, (batch, 1, 1), generator)
    chosen = torch.rand(batch, 1, 1, generator=generator) < share
    between = [own * values + (1 - own) * values[partner] for values in (mean, deviation)]
    return torch.where(chosen, (log_mel - mean) / deviation * between[1] + between[0], log_mel)


def mask(log_mel: Tensor, n_masks: int, max_frames: int, max_mels: int, generator: Generator) -> Tensor:
    """Set random bands of time and of frequency to zero, the mean of normalised log-mel.

    Park et al., "SpecAugment" (2019), section 2, without time warping: widths are drawn evenly from 0 to the maximum.
    """
    batch, n_frames, n_mels = log_mel.shape
    for axis, size, widest in ((1, n_frames, max_frames), (2, n_mels, max_mels)):
        for _ in range(n_masks):
            width = uniform(0, widest, (batch, 1), generator)
            start = (size - width) * torch.rand(batch, 1, generator=generator)
            places = torch.arange(size)
            hidden = (places >= start) & (places < start + width)
            log_mel = log_mel.masked_fill(hidden.unsqueeze(3 - axis), 0.0)
    return log_mel
