// The passes of the transform, one frame per lane: `z` holds complex vectors, frames l = 0 .. kLanes - 1 side by side.
//
// A pass of radix R over a block of length L (decimation in frequency), for n = 0 .. L / R - 1:
//   y = DFT_R(z[n], z[n + L/R], ..., z[n + (R-1) L/R]);   z[n + k L/R] = y[k] * exp(-2 pi i n k / L)
// after which sub-block k holds an independent transform of length L / R. The recursion finishes one sub-block before
// it starts the next, so the short transforms run in the first-level cache.
#pragma once

#include "fft_plan.h"
#include "lanes.h"

namespace engine {
namespace ENGINE_ISA {

struct Complex {
  Lanes re, im;
};

ENGINE_INLINE Complex operator+(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }
ENGINE_INLINE Complex operator-(Complex a, Complex b) { return {a.re - b.re, a.im - b.im}; }
ENGINE_INLINE Complex conjugate(Complex a) { return {a.re, -a.im}; }
ENGINE_INLINE Complex scaled(Complex a, float s) { return {a.re * s, a.im * s}; }
ENGINE_INLINE Complex times_minus_i(Complex a) { return {a.im, -a.re}; }
ENGINE_INLINE Complex twiddled(Complex a, const float* w) {
  return {a.re * w[0] - a.im * w[1], a.re * w[1] + a.im * w[0]};
}
ENGINE_INLINE Complex load_complex(const Lanes* z, long i) { return {z[2 * i], z[2 * i + 1]}; }
ENGINE_INLINE void store_complex(Lanes* z, long i, Complex c) {
  z[2 * i] = c.re;
  z[2 * i + 1] = c.im;
}

// Butterflies: the discrete Fourier transform of R values, in place, natural order in and out.
template <int R>
struct Butterfly;

template <>
struct Butterfly<1> {
  ENGINE_INLINE void apply(Complex*) {}
};

template <>
struct Butterfly<2> {
  ENGINE_INLINE void apply(Complex* x) {
    const Complex a = x[0], b = x[1];
    x[0] = a + b;
    x[1] = a - b;
  }
};

template <>
struct Butterfly<3> {
  ENGINE_INLINE void apply(Complex* x) {
    constexpr float kSin = 0.86602540378443865f;  // sin(2 pi / 3)
    const Complex sum = x[1] + x[2], turn = scaled(times_minus_i(x[1] - x[2]), kSin);
    const Complex middle = x[0] - scaled(sum, 0.5f);
    x[0] = x[0] + sum;
    x[1] = middle + turn;
    x[2] = middle - turn;
  }
};

template <>
struct Butterfly<4> {
  ENGINE_INLINE void apply(Complex* x) {
    const Complex s = x[0] + x[2], t = x[0] - x[2], u = x[1] + x[3], v = times_minus_i(x[1] - x[3]);
    x[0] = s + u;
    x[1] = t + v;
    x[2] = s - u;
    x[3] = t - v;
  }
};

template <>
struct Butterfly<5> {
  ENGINE_INLINE void apply(Complex* x) {
    constexpr float kCos1 = 0.30901699437494742f, kCos2 = -0.80901699437494742f;  // cos(2 pi / 5), cos(4 pi / 5)
    constexpr float kSin1 = 0.95105651629515357f, kSin2 = 0.58778525229247313f;   // sin(2 pi / 5), sin(4 pi / 5)
    const Complex s1 = x[1] + x[4], s2 = x[2] + x[3];
    const Complex d1 = times_minus_i(x[1] - x[4]), d2 = times_minus_i(x[2] - x[3]);
    const Complex a = x[0] + scaled(s1, kCos1) + scaled(s2, kCos2), b = scaled(d1, kSin1) + scaled(d2, kSin2);
    const Complex c = x[0] + scaled(s1, kCos2) + scaled(s2, kCos1), d = scaled(d1, kSin2) - scaled(d2, kSin1);
    x[0] = x[0] + s1 + s2;
    x[1] = a + b;
    x[4] = a - b;
    x[2] = c + d;
    x[3] = c - d;
  }
};

template <>
struct Butterfly<8> {
  ENGINE_INLINE void apply(Complex* x) {
    constexpr float kHalfRoot = 0.70710678118654752f;
    Complex even[4] = {x[0], x[2], x[4], x[6]}, odd[4] = {x[1], x[3], x[5], x[7]};
    Butterfly<4>::apply(even);
    Butterfly<4>::apply(odd);
    const Complex p = {(odd[1].re + odd[1].im) * kHalfRoot, (odd[1].im - odd[1].re) * kHalfRoot};
    const Complex q = times_minus_i(odd[2]);
    const Complex s = {(odd[3].im - odd[3].re) * kHalfRoot, (odd[3].re + odd[3].im) * -kHalfRoot};
    x[0] = even[0] + odd[0];
    x[4] = even[0] - odd[0];
    x[1] = even[1] + p;
    x[5] = even[1] - p;
    x[2] = even[2] + q;
    x[6] = even[2] - q;
    x[3] = even[3] + s;
    x[7] = even[3] - s;
  }
};

template <int R>
static void fft_pass(Lanes* z, int length, const float* twiddles) {
  const int step = length / R;
  for (int n = 0; n < step; n++, twiddles += 2 * (R - 1)) {
    Complex x[R];
    ENGINE_UNROLL(8)
    for (int j = 0; j < R; j++) x[j] = load_complex(z, n + j * step);
    Butterfly<R>::apply(x);
    store_complex(z, n, x[0]);
    ENGINE_UNROLL(8)
    for (int k = 1; k < R; k++) store_complex(z, n + k * step, twiddled(x[k], twiddles + 2 * (k - 1)));
  }
}

// The last pass has blocks of length R and no twiddles: `count` adjacent blocks in one loop.
template <int R>
static void fft_last_pass(Lanes* z, int count) {
  for (int b = 0; b < count; b++, z += 2 * R) {
    Complex x[R];
    ENGINE_UNROLL(8)
    for (int j = 0; j < R; j++) x[j] = load_complex(z, j);
    Butterfly<R>::apply(x);
    ENGINE_UNROLL(8)
    for (int j = 0; j < R; j++) store_complex(z, j, x[j]);
  }
}

// Any other radix, by the definition: y[k] = sum over j of x[j] * exp(-2 pi i j k / radix).
static void fft_pass_by_definition(Lanes* z, const FftStage& stage, Lanes* scratch) {
  const int radix = stage.radix, step = stage.length / radix;
  const float* twiddles = stage.twiddles;
  for (int n = 0; n < step; n++, twiddles += 2 * (radix - 1)) {
    for (int j = 0; j < radix; j++) store_complex(scratch, j, load_complex(z, n + j * step));
    for (int k = 0; k < radix; k++) {
      Complex sum = load_complex(scratch, 0);
      for (int j = 1, turn = k; j < radix; j++) {
        sum = sum + twiddled(load_complex(scratch, j), stage.roots + 2 * turn);
        turn += k;
        if (turn >= radix) turn -= radix;
      }
      store_complex(z, n + k * step, k == 0 ? sum : twiddled(sum, twiddles + 2 * (k - 1)));
    }
  }
}

static void fft_finish(const FftTables& t, int s, Lanes* z, int count, Lanes* scratch);

// A large prime radix, by Bluestein's algorithm (see ChirpTables). The inverse transform of y is the conjugate of the
// transform of conj y.
static void fft_pass_by_chirp(Lanes* z, const FftStage& stage, Lanes* scratch) {
  const ChirpTables& c = *stage.chirp;
  const int radix = stage.radix, step = stage.length / radix, size = c.convolution.size;
  const int* position = c.convolution.position;
  const float* twiddles = stage.twiddles;
  Lanes* product = scratch + 2 * size;
  for (int n = 0; n < step; n++, twiddles += 2 * (radix - 1)) {
    for (int j = 0; j < radix; j++) store_complex(scratch, j, twiddled(load_complex(z, n + j * step), c.chirp + 2 * j));
    for (int j = radix; j < size; j++) store_complex(scratch, j, Complex{});
    fft_finish(c.convolution, 0, scratch, 1, nullptr);
    for (int f = 0; f < size; f++)
      store_complex(product, f, conjugate(twiddled(load_complex(scratch, position[f]), c.filter + 2 * f)));
    fft_finish(c.convolution, 0, product, 1, nullptr);
    for (int k = 0; k < radix; k++) {
      const Complex value = twiddled(conjugate(load_complex(product, position[k])), c.chirp + 2 * k);
      store_complex(z, n + k * step, k == 0 ? value : twiddled(value, twiddles + 2 * (k - 1)));
    }
  }
}

// Transforms `count` adjacent blocks of stage `s` to the end. `scratch`: t.scratch complex vectors.
static void fft_finish(const FftTables& t, int s, Lanes* z, int count, Lanes* scratch) {
  if (s >= t.n_stages) return;
  const FftStage& stage = t.stages[s];
  const bool last = s == t.n_stages - 1;
  if (last) {
    switch (stage.radix) {
      case 1: return;
      case 2: return fft_last_pass<2>(z, count);
      case 3: return fft_last_pass<3>(z, count);
      case 4: return fft_last_pass<4>(z, count);
      case 5: return fft_last_pass<5>(z, count);
      case 8: return fft_last_pass<8>(z, count);
    }
  }
  for (int b = 0; b < count; b++, z += 2 * stage.length) {
    switch (stage.radix) {
      case 2: fft_pass<2>(z, stage.length, stage.twiddles); break;
      case 3: fft_pass<3>(z, stage.length, stage.twiddles); break;
      case 4: fft_pass<4>(z, stage.length, stage.twiddles); break;
      case 5: fft_pass<5>(z, stage.length, stage.twiddles); break;
      case 8: fft_pass<8>(z, stage.length, stage.twiddles); break;
      default:
        if (stage.chirp != nullptr) {
          fft_pass_by_chirp(z, stage, scratch);
        } else {
          fft_pass_by_definition(z, stage, scratch);
        }
    }
    fft_finish(t, s + 1, z, stage.radix, scratch);
  }
}

}  // namespace ENGINE_ISA
}  // namespace engine
