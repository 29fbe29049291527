// Kernels over single rows: exact distances in double, norms, the scan of a database for one query, half floats.
#pragma once

#include "lanes.h"

namespace engine {
namespace ENGINE_ISA {

typedef float HalfLanes __attribute__((vector_size(2 * kLanes), aligned(4), may_alias));
typedef double DoubleLanes __attribute__((vector_size(4 * kLanes)));
typedef uint16_t ShortLanes __attribute__((vector_size(2 * kLanes), aligned(2), may_alias));

ENGINE_INLINE DoubleLanes widen(const float* p) {
  return __builtin_convertvector(*reinterpret_cast<const HalfLanes*>(p), DoubleLanes);
}

// A product that stays rounded: fused with a subtraction it would make a - b differ from -(b - a), and x - x from 0.
template <class Number>
ENGINE_INLINE Number rounded(Number product) {
#if defined(__x86_64__)
  asm("" : "+v"(product));
#elif defined(__aarch64__)
  asm("" : "+w"(product));
#endif
  return product;
}

// The sum over i of term(i) for i < n: `vector(i)` gives the terms i .. i + kLanes / 2 - 1, `scalar(i)` one.
template <class Vector, class Scalar>
ENGINE_INLINE double double_sum(long n, Vector vector, Scalar scalar) {
  constexpr int kStep = kLanes / 2;
  DoubleLanes a = {}, b = {}, c = {}, d = {};  // four sums hide the latency of the addition
  long i = 0;
  for (; i + 4 * kStep <= n; i += 4 * kStep) {
    a += vector(i);
    b += vector(i + kStep);
    c += vector(i + 2 * kStep);
    d += vector(i + 3 * kStep);
  }
  for (; i + kStep <= n; i += kStep) a += vector(i);
  const DoubleLanes sums = (a + b) + (c + d);
  double total = 0;
  for (int l = 0; l < kStep; l++) total += sums[l];
  for (; i < n; i++) total += scalar(i);
  return total;
}

static double squared_norm(const float* x, long n) {
  return double_sum(
      n, [&](long i) __attribute__((always_inline)) { return widen(x + i) * widen(x + i); },
      [&](long i) { return static_cast<double>(x[i]) * x[i]; });
}

static double dot(const float* a, const float* b, long n) {
  return double_sum(
      n, [&](long i) __attribute__((always_inline)) { return widen(a + i) * widen(b + i); },
      [&](long i) { return static_cast<double>(a[i]) * b[i]; });
}

// The sum of (scale_a a[i] - scale_b b[i])^2; scales of 1 cost nothing.
static double squared_difference(const float* a, const float* b, long n, double scale_a, double scale_b) {
  if (scale_a == 1.0 && scale_b == 1.0)
    return double_sum(
        n,
        [&](long i) __attribute__((always_inline)) {
          const DoubleLanes difference = widen(a + i) - widen(b + i);
          return difference * difference;
        },
        [&](long i) {
          const double difference = static_cast<double>(a[i]) - b[i];
          return difference * difference;
        });
  return double_sum(
      n,
      [&](long i) __attribute__((always_inline)) {
        const DoubleLanes difference = rounded(widen(a + i) * scale_a) - rounded(widen(b + i) * scale_b);
        return difference * difference;
      },
      [&](long i) {
        const double difference = rounded(a[i] * scale_a) - rounded(b[i] * scale_b);
        return difference * difference;
      });
}

// The squared norm of the row x * scale + shift as pack() rounds it to float32.
static double shifted_squared_norm(const float* x, long n, float scale, const float* shift) {
  constexpr int kStep = kLanes / 2;
  typedef float Half __attribute__((vector_size(2 * kLanes)));
  return double_sum(
      n,
      [&](long i) __attribute__((always_inline)) {
        const Half y =
            *reinterpret_cast<const HalfLanes*>(x + i) * scale + *reinterpret_cast<const HalfLanes*>(shift + i);
        const DoubleLanes wide = __builtin_convertvector(y, DoubleLanes);
        return wide * wide;
      },
      [&](long i) {
        const float y = x[i] * scale + shift[i];
        return static_cast<double>(y) * y;
      });
  static_assert(kStep * 2 == kLanes);
}

// outs[s][r] = the s-th of the kSums sums that `pair(q[i], x[r][i], sums)` adds to over the columns i < d. Each row is
// summed up by itself, so that the reads never wait for more than a few shuffles.
template <int kSums, class Pair>
ENGINE_INLINE void scan(const float* q, const float* x, long stride, long n, long d, float* const* outs, Pair pair) {
  for (long r = 0; r < n; r++) {
    const float* row = x + r * stride;
    Lanes a[kSums] = {}, b[kSums] = {};
    float tail[kSums] = {};
    long i = 0;
    for (; i + 2 * kLanes <= d; i += 2 * kLanes) {
      pair(load(q + i), load(row + i), a);
      pair(load(q + i + kLanes), load(row + i + kLanes), b);
    }
    for (; i + kLanes <= d; i += kLanes) pair(load(q + i), load(row + i), a);
    for (; i < d; i++) pair(q[i], row[i], tail);
    for (int s = 0; s < kSums; s++) outs[s][r] = sum_of_lanes(a[s] + b[s]) + tail[s];
  }
}

static void scan_differences(const float* q, const float* x, long stride, long n, long d, float* squares) {
  float* const outs[] = {squares};
  scan<1>(q, x, stride, n, d, outs, [](auto u, auto v, auto* sums) __attribute__((always_inline)) {
    const auto difference = u - v;
    sums[0] += difference * difference;
  });
}

// dots[r] = q . x_r and squares[r] = x_r . x_r.
static void scan_dots(const float* q, const float* x, long stride, long n, long d, float* dots, float* squares) {
  float* const outs[] = {dots, squares};
  scan<2>(q, x, stride, n, d, outs, [](auto u, auto v, auto* sums) __attribute__((always_inline)) {
    sums[0] += u * v;
    sums[1] += v * v;
  });
}

// values[r] = a lower bound of a distance from a row's product with the query and its squared length: minus the
// product, or one minus the cosine, each less what rounding may have added to it; -infinity where the length is out of
// range.
static void bound_products(float* values, const float* squares, long n, const ProductBound& bound) {
  for (long r = 0; r < n; r += kLanes) {
    const Lanes square = load(squares + r), product = load(values + r), length = square_root(square) * bound.length;
    const Lanes distance = bound.cosine ? 1.0f - product / length - bound.slack : -product - bound.slack * length;
    const IntLanes in_range = (square > broadcast(bound.smallest)) & (square < broadcast(bound.largest));
    store(values + r, in_range ? distance : broadcast(-__builtin_inff()));
  }
}

// IEEE half to single precision. The exponent moves by a multiplication, which also normalises subnormal numbers.
static void widen_halves(const uint16_t* halves, long n, float* out) {
  for (long i = 0; i < n; i += kLanes) {
    uint16_t tail[kLanes] = {};
    const bool whole = i + kLanes <= n;
    if (!whole)
      for (long l = i; l < n; l++) tail[l - i] = halves[l];
    const IntLanes bits =
        __builtin_convertvector(*reinterpret_cast<const ShortLanes*>(whole ? halves + i : tail), IntLanes);
    const Lanes magnitude = (Lanes)((bits & 0x7fff) << 13) * 0x1p112f;
    const IntLanes not_finite = (magnitude >= broadcast(65536.0f)) & 0x7f800000;
    const Lanes value = (Lanes)((IntLanes)magnitude | not_finite | ((bits & 0x8000) << 16));
    if (whole) {
      store(out + i, value);
    } else {
      for (long l = i; l < n; l++) out[l] = value[l - i];
    }
  }
}

// The smallest values[i] > above, or infinity.
static float smallest_above(const float* values, long n, float above) {
  const Lanes infinity = broadcast(__builtin_inff());
  Lanes best[4] = {infinity, infinity, infinity, infinity};
  long i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    ENGINE_UNROLL(4)
    for (int s = 0; s < 4; s++) {
      const Lanes v = load(values + i + s * kLanes), candidate = v > broadcast(above) ? v : infinity;
      best[s] = candidate < best[s] ? candidate : best[s];
    }
  }
  for (int s = 1; s < 4; s++) best[0] = best[s] < best[0] ? best[s] : best[0];
  float smallest = __builtin_inff();
  for (int l = 0; l < kLanes; l++) smallest = best[0][l] < smallest ? best[0][l] : smallest;
  for (; i < n; i++) smallest = values[i] > above && values[i] < smallest ? values[i] : smallest;
  return smallest;
}

// Indices of low <= values[i] <= high, ascending; returns how many. `out` has room for n.
static long indices_between(const float* values, long n, float low, float high, int* out) {
  long count = 0, i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes)
    for (uint64_t bits = bits_between(values + i, broadcast(low), broadcast(high)); bits; bits &= bits - 1)
      out[count++] = static_cast<int>(i) + __builtin_ctzll(bits);
  for (; i < n; i++)
    if (values[i] >= low && values[i] <= high) out[count++] = static_cast<int>(i);
  return count;
}

}  // namespace ENGINE_ISA
}  // namespace engine
