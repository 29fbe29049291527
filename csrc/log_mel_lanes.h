// Spectra to log-mel, and the other two products of the same frames: spectrograms and the complex transform.
#pragma once

#include "frames_lanes.h"

namespace engine {
namespace ENGINE_ISA {

// bands[m] = gain[m] ln(max(sum over k of weight[m][k] power[k], floor) + offset) + bias[m].
// Returns lanes of all ones where a sum is not a finite number.
static IntLanes mel_bands(const MelTables& t, const Lanes* power, Lanes* bands) {
  constexpr float kLargest = 3.402823466e+38f;
  for (int m = 0; m < t.n_mels; m++) {
    const float* w = t.weights[m];
    Lanes a = {}, b = {}, c = {}, d = {};  // four sums hide the latency of the multiply-add
    int k = t.first_bin[m];
    const int end = t.end_bin[m];
    for (; k + 4 <= end; k += 4, w += 4) {
      a += power[k] * w[0];
      b += power[k + 1] * w[1];
      c += power[k + 2] * w[2];
      d += power[k + 3] * w[3];
    }
    for (; k < end; k++, w++) a += power[k] * w[0];
    bands[m] = (a + b) + (c + d);
  }
  IntLanes bad = {};  // sums before logarithms: two loops schedule better than one that does both
  const Lanes floor = broadcast(t.floor);
  ENGINE_UNROLL(2)
  for (int m = 0; m < t.n_mels; m++) {
    const Lanes sum = bands[m];
    bad |= ~(sum <= broadcast(kLargest));
    bands[m] = natural_log(larger(sum, floor) + t.offset) * t.gain[m] + t.bias[m];
  }
  return bad;
}

// Asks for the cache lines that `count` values will soon be written to.
ENGINE_INLINE void prefetch_rows(const float* out, long count) {
  for (long i = 0; i < count; i += kFloatsPerCacheLine) __builtin_prefetch(out + i, 1);
}

static bool log_mel(const ClipLayout& clip, const FrameScratch& s, const float* x, long n, long first, long n_frames,
                    const LogMelBranch* branches, int n_branches) {
  Lanes* bands = reinterpret_cast<Lanes*>(s.bands);
  IntLanes bad = {};
  for_each_group(clip, s, x, n, first, n_frames, [&](long f, const float* columns, int) {
    for (const LogMelBranch* branch = branches; branch < branches + n_branches; branch++) {
      const MelTables& mel = *branch->mel;
      const long count = smaller(static_cast<long>(kLanes), branch->n_frames - f);
      if (count > 0) prefetch_rows(branch->out + f * mel.n_mels, count * mel.n_mels);
      if (!branch->same_spectrum) {
        transform_frames(*branch->frames, s, columns, branch->offset);
        fill_power(branch->frames->fft, mel.magnitude, s);
      }
      if (count <= 0) continue;
      bad |= mel_bands(mel, reinterpret_cast<const Lanes*>(s.power), bands);
      store_rows(bands, mel.n_mels, static_cast<int>(count), branch->out + f * mel.n_mels, mel.n_mels);
    }
  });
  return !any(bad);
}

static void spectrogram(const ClipLayout& clip, const FrameTables& frames, bool magnitude, const FrameScratch& s,
                        const float* x, long n, long first, long n_frames, float* out) {
  const int n_bins = frames.fft.n_bins;
  for_each_group(clip, s, x, n, first, n_frames, [&](long f, const float* columns, int count) {
    transform_frames(frames, s, columns, 0);
    fill_power(frames.fft, magnitude, s);
    store_rows(reinterpret_cast<const Lanes*>(s.power), n_bins, count, out + f * n_bins, n_bins);
  });
}

// out: n_frames x n_bins pairs (real, imaginary).
static void stft(const ClipLayout& clip, const FrameTables& frames, const FrameScratch& s, const float* x, long n,
                 long first, long n_frames, float* out) {
  const int n_bins = frames.fft.n_bins;
  const Lanes* z = reinterpret_cast<const Lanes*>(s.spectrum);
  Lanes* bins = reinterpret_cast<Lanes*>(s.power);
  for_each_group(clip, s, x, n, first, n_frames, [&](long f, const float* columns, int count) {
    transform_frames(frames, s, columns, 0);
    for_each_bin(frames.fft, z, [&](int k, Complex x) __attribute__((always_inline)) { store_complex(bins, k, x); });
    store_rows(bins, 2 * n_bins, count, out + f * 2 * n_bins, 2 * n_bins);
  });
}

static float largest_value(const float* values, long n) {
  float best = values[0];
  long i = 0;
  if (n >= 4 * kLanes) {
    Lanes a = load(values), b = a, c = a, d = a;
    for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
      a = larger(a, load(values + i));
      b = larger(b, load(values + i + kLanes));
      c = larger(c, load(values + i + 2 * kLanes));
      d = larger(d, load(values + i + 3 * kLanes));
    }
    a = larger(larger(a, b), larger(c, d));
    for (int l = 0; l < kLanes; l++) best = a[l] > best ? a[l] : best;
  }
  for (; i < n; i++) best = values[i] > best ? values[i] : best;
  return best;
}

// rows[f][m] = max(rows[f][m] - shift, lowest) * gain[m] + bias[m], in place.
static void limit_and_scale(float* rows, long n_frames, int n_mels, float shift, float lowest, const float* gain,
                            const float* bias) {
  for (long f = 0; f < n_frames; f++, rows += n_mels) {
    int m = 0;
    for (; m + kLanes <= n_mels; m += kLanes)
      store(rows + m, larger(load(rows + m) - shift, broadcast(lowest)) * load(gain + m) + load(bias + m));
    for (; m < n_mels; m++) {
      const float value = rows[m] - shift;
      rows[m] = (value < lowest ? lowest : value) * gain[m] + bias[m];
    }
  }
}

}  // namespace ENGINE_ISA
}  // namespace engine
