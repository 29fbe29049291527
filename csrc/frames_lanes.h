// Waveform to spectra, kLanes frames at a time.
//
// The clip is transposed hop-major as it is read: columns[r][c] = x[origin + c * hop + r]. Sample n of the kLanes
// frames from frame c on is then one load, columns[n % hop][c + n / hop ...], and samples shared by overlapping frames
// are read from memory once. A chunk of frames is transposed at a time, so that the columns stay in the second-level
// cache.
#pragma once

#include "fft_lanes.h"
#include "frames.h"

namespace engine {
namespace ENGINE_ISA {

constexpr int kFramesPerChunk = kLanes >= 8 ? 112 : 64;
constexpr int kFloatsPerCacheLine = 16;

// Sample i of a signal of n > 0 samples that `padding` continues beyond both ends.
ENGINE_INLINE float sample_at(const float* x, long n, long i, Padding padding) {
  if (i >= 0 && i < n) return x[i];
  if (padding == Padding::kZeros) return 0.0f;
  if (padding == Padding::kReflect) {
    if (n == 1) return x[0];
    const long period = 2 * (n - 1);
    i = (i % period + period) % period;
    return x[i < n ? i : period - i];
  }
  const long period = 2 * n;
  i = (i % period + period) % period;
  return x[i < n ? i : period - 1 - i];
}

ENGINE_INLINE void copy_samples(const float* x, long n, long start, int count, Padding padding, float* to) {
  if (start >= 0 && start + count <= n) {
    __builtin_memcpy(to, x + start, sizeof(float) * count);
  } else {
    for (int i = 0; i < count; i++) to[i] = sample_at(x, n, start + i, padding);
  }
}

// Fills columns [begin, end), multiples of kLanes, of the chunk whose frame 0 starts at sample `origin` of x.
static void fill_columns(const ClipLayout& t, const FrameScratch& s, const float* x, long n, long origin, long begin,
                         long end) {
  const int hop = t.hop_length, rows = smaller(hop, t.reach), height = rows < kLanes ? kLanes : rows;
  for (long c = begin; c < end; c += kLanes) {
    const long start = origin + c * hop;
    const float* from = s.edge;
    long pitch = height;
    if (start >= 0 && start + (kLanes - 1) * static_cast<long>(hop) + height <= n) {
      from = x + start;
      pitch = hop;
    } else {
      for (int i = 0; i < kLanes; i++)
        copy_samples(x, n, start + i * static_cast<long>(hop), rows, t.padding, s.edge + static_cast<long>(i) * height);
    }
    for (int r = 0; r < rows; r += kLanes) {
      if (r + kLanes > rows && rows >= kLanes) r = rows - kLanes;  // the last block overlaps the one before
      Lanes block[kLanes];
      ENGINE_UNROLL(16)
      for (int i = 0; i < kLanes; i++) {
        block[i] = load(from + i * pitch + r);
        __builtin_prefetch(from + (kLanes + i) * pitch + r);
      }
      transpose(block);
      ENGINE_UNROLL(16)
      for (int i = 0; i < kLanes; i++) store(s.columns + (r + i) * s.stride + c, block[i]);
    }
  }
}

// The windowed samples of kLanes neighbouring frames; with kFilter also DC removal and pre-emphasis:
//   y[n] = ((x[n] - mean) - a (x[n-1] - mean)) w[n] = (x[n] - a x[n-1]) w[n] - mean (1 - a) w[n],   x[-1] = x[0].
template <bool kFilter>
struct WindowedFrames {
  const float* columns;  // from the frames' own on
  long stride;
  int offset, hop, win;
  const float *window, *dc_window;
  Lanes mean, preemphasis;

  struct Cursor {
    const float* at;
    int row;
    Lanes previous;
  };

  ENGINE_INLINE WindowedFrames over(const FrameTables& t, const float* columns, long stride, int offset) {
    WindowedFrames frames{
        columns, stride, offset, t.hop_length, t.win_length, t.window, t.dc_window, {}, broadcast(t.preemphasis)};
    if (kFilter && t.remove_dc) frames.mean = frames.sum() * (1.0f / t.win_length);
    return frames;
  }

  inline __attribute__((always_inline)) const float* address(int n) const {
    return columns + (offset + n) % hop * stride + (offset + n) / hop;
  }

  // Even and odd samples apart, wherever in a column they lie: the bits do not depend on `offset`.
  inline __attribute__((always_inline)) Lanes sum() const {
    Lanes even = {}, odd = {};
    for (int n = 0, rows; n < win; n += rows) {
      rows = smaller(hop - (offset + n) % hop, win - n);
      const float* at = address(n);
      int r = 0;
      for (; r + 1 < rows; r += 2, at += 2 * stride) {
        even += load(at);
        odd += load(at + stride);
      }
      if (r == rows) continue;
      const Lanes last = even + load(at);
      even = odd;
      odd = last;
    }
    return even + odd;
  }

  inline __attribute__((always_inline)) Cursor at(int n) const {
    Cursor cursor{address(n), (offset + n) % hop, {}};
    if (kFilter && n < win + 1) cursor.previous = load(address(n > 0 ? n - 1 : 0));
    return cursor;
  }

  inline __attribute__((always_inline)) Lanes take(Cursor& cursor, int n) const {
    const Lanes value = load(cursor.at);
    cursor.at += stride;
    if (++cursor.row == hop) {
      cursor.row = 0;
      cursor.at += 1 - stride * hop;
    }
    if (!kFilter) return value * window[n];
    const Lanes filtered = value - preemphasis * cursor.previous;
    cursor.previous = value;
    return filtered * window[n] - mean * dc_window[n];
  }

  // Samples n and n + 1 as one complex element; the one beyond an odd window's end is 0.
  inline __attribute__((always_inline)) Complex take_pair(Cursor& cursor, int n) const {
    Complex pair;
    pair.re = take(cursor, n);
    pair.im = n + 1 < win ? take(cursor, n + 1) : Lanes{};
    return pair;
  }
};

// A radix-4 butterfly of which only the first kGiven inputs are not zero.
template <int kGiven>
ENGINE_INLINE void pruned_butterfly(Complex* x) {
  if constexpr (kGiven == 4) {
    Butterfly<4>::apply(x);
  } else if constexpr (kGiven == 3) {
    const Complex s = x[0] + x[2], t = x[0] - x[2], u = x[1], v = times_minus_i(x[1]);
    x[0] = s + u;
    x[1] = t + v;
    x[2] = s - u;
    x[3] = t - v;
  } else if constexpr (kGiven == 2) {
    const Complex a = x[0], b = x[1], v = times_minus_i(b);
    x[0] = a + b;
    x[1] = a + v;
    x[2] = a - b;
    x[3] = a - v;
  } else {
    x[1] = x[2] = x[3] = x[0];
  }
}

template <bool kFilter, int kGiven>
ENGINE_INLINE void opening_steps(const WindowedFrames<kFilter>& frames,
                                 typename WindowedFrames<kFilter>::Cursor* cursors, const float* twiddles, int quarter,
                                 int begin, int end, Lanes* z) {
  for (int n = begin; n < end; n++) {
    const float* w = twiddles + 6 * n;
    Complex x[4];
    ENGINE_UNROLL(4)
    for (int j = 0; j < kGiven; j++) x[j] = frames.take_pair(cursors[j], 2 * (j * quarter + n));
    pruned_butterfly<kGiven>(x);
    store_complex(z, n, x[0]);
    store_complex(z, n + quarter, twiddled(x[1], w));
    store_complex(z, n + 2 * quarter, twiddled(x[2], w + 2));
    store_complex(z, n + 3 * quarter, twiddled(x[3], w + 4));
  }
}

// The first pass, radix 4, fused with the window; quarters of the input that lie in the zero padding cost nothing.
template <bool kFilter>
static void opening_pass(const FrameTables& t, const float* columns, long stride, int offset, Lanes* z) {
  const auto frames = WindowedFrames<kFilter>::over(t, columns, stride, offset);
  const int quarter = t.fft.size / 4, elements = (t.win_length + 1) / 2;
  const float* twiddles = t.fft.stages[0].twiddles;
  typename WindowedFrames<kFilter>::Cursor cursors[4];
  int end[4];
  for (int j = 0; j < 4; j++) {
    const int left = elements - j * quarter;
    end[j] = left < 0 ? 0 : smaller(left, quarter);
    cursors[j] = frames.at(smaller(2 * j * quarter, t.win_length - 1));
  }
  opening_steps<kFilter, 4>(frames, cursors, twiddles, quarter, 0, end[3], z);
  opening_steps<kFilter, 3>(frames, cursors, twiddles, quarter, end[3], end[2], z);
  opening_steps<kFilter, 2>(frames, cursors, twiddles, quarter, end[2], end[1], z);
  opening_steps<kFilter, 1>(frames, cursors, twiddles, quarter, end[1], end[0], z);
  for (int n = end[0]; n < quarter; n++)
    for (int j = 0; j < 4; j++) store_complex(z, n + j * quarter, Complex{});
}

template <bool kFilter>
static void load_windowed(const FrameTables& t, const float* columns, long stride, int offset, Lanes* z) {
  const auto frames = WindowedFrames<kFilter>::over(t, columns, stride, offset);
  auto cursor = frames.at(0);
  const int win = t.win_length, step = t.fft.packed ? 2 : 1;
  int i = 0;
  for (int n = 0; n < win; n += step, i++)
    store_complex(z, i, t.fft.packed ? frames.take_pair(cursor, n) : Complex{frames.take(cursor, n), {}});
  for (; i < t.fft.size; i++) store_complex(z, i, Complex{});
}

template <bool kFilter>
ENGINE_INLINE void transform_windowed(const FrameTables& t, const float* columns, long stride, int offset, Lanes* z) {
  Lanes* pass_scratch = z + 2 * t.fft.size;
  if (t.fft.packed && t.fft.size % 4 == 0) {
    opening_pass<kFilter>(t, columns, stride, offset, z);
    fft_finish(t.fft, 1, z, 4, pass_scratch);
  } else {
    load_windowed<kFilter>(t, columns, stride, offset, z);
    fft_finish(t.fft, 0, z, 1, pass_scratch);
  }
}

// The complex transform, in digit-reversed order, of the kLanes frames that start `offset` samples into `columns`.
static void transform_frames(const FrameTables& t, const FrameScratch& s, const float* columns, int offset) {
  Lanes* z = reinterpret_cast<Lanes*>(s.spectrum);
  if (t.per_frame_filter) {
    transform_windowed<true>(t, columns, s.stride, offset, z);
  } else {
    transform_windowed<false>(t, columns, s.stride, offset, z);
  }
}

// Untangles the packed transform. With Z the complex transform, E = Z[k] + conj Z[M-k] and O = -i (Z[k] - conj Z[M-k])
// (each times the 1/2 that the window carries):  X[k] = E + exp(-2 pi i k / N) O,  X[M-k] = conj(E - exp(...) O).
// emit(k, X[k]) is called once per bin; the sign of the conjugated half is taken care of here.
template <class Emit>
ENGINE_INLINE void for_each_bin(const FftTables& t, const Lanes* z, Emit emit) {
  if (!t.packed) {
    for (int k = 0; k < t.n_bins; k++) emit(k, load_complex(z, t.position[k]));
    return;
  }
  const int size = t.size;
  for (int k = 0; k <= size / 2; k++) {
    const int mirror = k == 0 ? 0 : size - k;
    const Complex a = load_complex(z, t.position[k]), b = load_complex(z, t.position[mirror]);
    const Complex even = {a.re + b.re, a.im - b.im}, odd = {a.im + b.im, b.re - a.re};
    const Complex turned = twiddled(odd, t.split + 2 * k);
    const Complex low = even + turned, high = even - turned;
    emit(k, low);
    emit(size - k, Complex{high.re, -high.im});
  }
}

template <bool kMagnitude>
static void power_or_magnitude(const FftTables& t, const Lanes* z, Lanes* power) {
  for_each_bin(t, z, [&](int k, Complex x) __attribute__((always_inline)) {
    const Lanes squared = x.re * x.re + x.im * x.im;
    power[k] = kMagnitude ? square_root(squared) : squared;
  });
}

// power[k] = |X[k]|^2, or |X[k]|, of the frames last transformed.
static void fill_power(const FftTables& t, bool magnitude, const FrameScratch& s) {
  const Lanes* z = reinterpret_cast<const Lanes*>(s.spectrum);
  Lanes* power = reinterpret_cast<Lanes*>(s.power);
  if (magnitude) {
    power_or_magnitude<true>(t, z, power);
  } else {
    power_or_magnitude<false>(t, z, power);
  }
}

// Stores `count` vectors, one value of kLanes frames each, as rows: out[f * pitch + m] for the first n_frames frames.
static void store_rows(const Lanes* values, int count, int n_frames, float* out, long pitch) {
  if (count < kLanes) {
    for (int f = 0; f < n_frames; f++)
      for (int m = 0; m < count; m++) out[f * pitch + m] = values[m][f];
    return;
  }
  for (int m = 0; m < count; m += kLanes) {
    if (m + kLanes > count) m = count - kLanes;  // the last block overlaps the one before
    Lanes block[kLanes];
    ENGINE_UNROLL(16)
    for (int i = 0; i < kLanes; i++) block[i] = values[m + i];
    transpose(block);
    if (n_frames == kLanes) {
      ENGINE_UNROLL(16)
      for (int f = 0; f < kLanes; f++) store(out + f * pitch + m, block[f]);
    } else {
      for (int f = 0; f < n_frames; f++) store(out + f * pitch + m, block[f]);
    }
  }
}

// Asks for samples [begin, begin + count) of x[0 .. n) in the second-level cache.
ENGINE_INLINE void prefetch_samples(const float* x, long n, long begin, long count) {
  const long end = smaller(n, begin + count);
  for (long i = begin < 0 ? 0 : begin; i < end; i += kFloatsPerCacheLine) __builtin_prefetch(x + i, 0, 2);
}

// Lays the clip out in columns, the first of which starts at sample `first` of x (it may be negative), and calls
// sink(f, columns, count) for every group of `count` <= kLanes frames f, f + 1, ... of the n_frames; `columns` is
// theirs.
template <class Sink>
ENGINE_INLINE void for_each_group(const ClipLayout& t, const FrameScratch& s, const float* x, long n, long first,
                                  long n_frames, Sink sink) {
  const long overlap = s.n_columns - kFramesPerChunk, hop = t.hop_length;
  for (long f = 0; f < n_frames; f += kFramesPerChunk) {
    const long left = smaller(static_cast<long>(kFramesPerChunk), n_frames - f);
    const long needed = smaller(s.n_columns, (left + kLanes - 1) / kLanes * kLanes + overlap);
    long begin = 0;
    if (f > 0) {  // the columns that this chunk shares with the one before
      const int rows = smaller(t.hop_length, t.reach);
      for (int r = 0; r < rows; r++) {
        float* row = s.columns + r * s.stride;
        for (long c = 0; c < overlap; c += kLanes) store(row + c, load(row + kFramesPerChunk + c));
      }
      begin = overlap;
    }
    fill_columns(t, s, x, n, first + f * hop, begin, needed);
    for (long g = 0; g < left; g += kLanes) {
      prefetch_samples(x, n, first + (f + s.n_columns + g) * hop, kLanes * hop);  // a part of the next chunk
      sink(f + g, s.columns + g, static_cast<int>(smaller(static_cast<long>(kLanes), left - g)));
    }
  }
}

}  // namespace ENGINE_ISA
}  // namespace engine
