// The lane type: one vector register seen as kLanes independent floats.
//
// Kernels are written once as plain scalar code over `Lanes`; lane l carries frame l (or candidate l), so nothing is
// shuffled until results are stored. Only the instruction-set units (isa_*.cc) include this header. Each of them
// defines ENGINE_ISA, the namespace its copy of the kernels lives in. Nothing here or below may use the standard
// library's templates or any inline function shared with other units: the linker would keep one copy for all of them,
// possibly one built for a newer processor.
#pragma once

#ifndef ENGINE_ISA
#error "lanes.h belongs to the instruction-set units, which define ENGINE_ISA"
#endif

#include <cstdint>

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define ENGINE_INLINE static inline __attribute__((always_inline))
#define ENGINE_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define ENGINE_UNROLL(n) ENGINE_PRAGMA(clang loop unroll_count(n))
#else
#define ENGINE_UNROLL(n) ENGINE_PRAGMA(GCC unroll n)
#endif

namespace engine {
namespace ENGINE_ISA {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

typedef float Lanes __attribute__((vector_size(4 * kLanes)));
typedef int32_t IntLanes __attribute__((vector_size(4 * kLanes)));
typedef float UnalignedLanes __attribute__((vector_size(4 * kLanes), aligned(4), may_alias));

ENGINE_INLINE Lanes load(const float* p) { return *reinterpret_cast<const UnalignedLanes*>(p); }
ENGINE_INLINE void store(float* p, Lanes v) { *reinterpret_cast<UnalignedLanes*>(p) = v; }
ENGINE_INLINE Lanes broadcast(float s) {
  return s - Lanes{};
}  // s - 0 folds to a broadcast; s + 0 would not for s = -0
ENGINE_INLINE Lanes larger(Lanes a, Lanes b) { return a < b ? b : a; }  // a NaN in `a` stays
ENGINE_INLINE int smaller(int a, int b) { return a < b ? a : b; }
ENGINE_INLINE long smaller(long a, long b) { return a < b ? a : b; }

ENGINE_INLINE Lanes square_root(Lanes v) {
#if defined(__AVX512F__)
  return (Lanes)_mm512_maskz_sqrt_ps(0xffff, (__m512)v);  // the unmasked form trips GCC's -Wmaybe-uninitialized
#elif defined(__AVX2__)
  return (Lanes)_mm256_sqrt_ps((__m256)v);
#elif defined(__x86_64__)
  return (Lanes)_mm_sqrt_ps((__m128)v);
#elif defined(__aarch64__)
  return (Lanes)vsqrtq_f32((float32x4_t)v);
#else
  for (int i = 0; i < kLanes; i++) v[i] = __builtin_sqrtf(v[i]);
  return v;
#endif
}

// The sum of the lanes.
ENGINE_INLINE float sum_of_lanes(Lanes v) {
#if defined(__x86_64__)
#if defined(__AVX512F__)
  // The masked forms: GCC warns that the others use an uninitialised register.
  const __m256 lower = _mm512_maskz_extractf32x8_ps(0xff, (__m512)v, 0);
  const __m256 half = _mm256_add_ps(lower, _mm512_maskz_extractf32x8_ps(0xff, (__m512)v, 1));
#elif defined(__AVX2__)
  const __m256 half = (__m256)v;
#endif
#if defined(__AVX2__)
  const __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
#else
  const __m128 quarter = (__m128)v;
#endif
  const __m128 pair = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
  return _mm_cvtss_f32(_mm_add_ss(pair, _mm_shuffle_ps(pair, pair, 1)));
#elif defined(__aarch64__)
  return vaddvq_f32((float32x4_t)v);
#else
  float sum = 0;
  for (int i = 0; i < kLanes; i++) sum += v[i];
  return sum;
#endif
}

// True where a comparison holds in some lane.
ENGINE_INLINE bool any(IntLanes mask) {
#if defined(__AVX512F__)
  return _mm512_movepi32_mask((__m512i)mask) != 0;
#elif defined(__AVX2__)
  return !_mm256_testz_si256((__m256i)mask, (__m256i)mask);
#elif defined(__x86_64__)
  return _mm_movemask_ps((__m128)mask) != 0;
#elif defined(__aarch64__)
  return vmaxvq_u32((uint32x4_t)mask) != 0;
#else
  int all = 0;
  for (int i = 0; i < kLanes; i++) all |= mask[i];
  return all != 0;
#endif
}

// True where a > b fails in some lane, as it does for NaN.
ENGINE_INLINE bool any_not_greater(Lanes a, Lanes b) {
#if defined(__AVX512F__)
  return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_NGT_UQ) != 0;
#else
  return any(~(a > b));
#endif
}

// True where low <= v <= high fails in some lane, as it does for NaN.
ENGINE_INLINE bool any_outside(Lanes v, Lanes low, Lanes high) {
#if defined(__AVX512F__)
  const __mmask16 above = _mm512_cmp_ps_mask((__m512)v, (__m512)low, _CMP_GE_OQ);
  return _mm512_mask_cmp_ps_mask(above, (__m512)v, (__m512)high, _CMP_LE_OQ) != 0xffff;
#else
  return any(~((v >= low) & (v <= high)));
#endif
}

// Bit i set where low <= v[i] <= high, i < 4 * kLanes.
ENGINE_INLINE uint64_t bits_between(const float* v, Lanes low, Lanes high) {
  uint64_t bits = 0;
  ENGINE_UNROLL(4)
  for (int i = 0; i < 4; i++) {
    const Lanes x = load(v + i * kLanes);
#if defined(__AVX512F__)
    const __mmask16 above = _mm512_cmp_ps_mask((__m512)x, (__m512)low, _CMP_GE_OQ);
    const uint64_t inside = _mm512_mask_cmp_ps_mask(above, (__m512)x, (__m512)high, _CMP_LE_OQ);
#elif defined(__AVX2__)
    const uint64_t inside = _mm256_movemask_ps((__m256)((x >= low) & (x <= high)));
#elif defined(__x86_64__)
    const uint64_t inside = _mm_movemask_ps((__m128)((x >= low) & (x <= high)));
#else
    const IntLanes mask = (x >= low) & (x <= high);
    uint64_t inside = 0;
    for (int l = 0; l < kLanes; l++) inside |= static_cast<uint64_t>(mask[l] & 1) << l;
#endif
    bits |= inside << (i * kLanes);
  }
  return bits;
}

// ln(x) for normal x > 0: x = m * 2^e with m in [sqrt(1/2), sqrt(2)), ln x = e ln 2 + ln m, the second term by a
// minimax polynomial of degree 8 in m - 1 (Cephes' coefficients for logf). Error at most about 1e-7 * max(1, |ln x|).
// An x that is not a finite number gives garbage: callers test for it before.
ENGINE_INLINE Lanes natural_log(Lanes x) {
  const IntLanes bits = (IntLanes)x;
  const IntLanes exponent = (bits - 0x3f3504f3) >> 23;  // 0x3f3504f3 is sqrt(1/2)
  const Lanes e = __builtin_convertvector(exponent, Lanes);
  const Lanes f = (Lanes)(bits - (exponent << 23)) - 1.0f;
  Lanes p = f * 7.0376836292e-2f - 1.1514610310e-1f;
  p = p * f + 1.1676998740e-1f;
  p = p * f - 1.2420140846e-1f;
  p = p * f + 1.4249322787e-1f;
  p = p * f - 1.6668057665e-1f;
  p = p * f + 2.0000714765e-1f;
  p = p * f - 2.4999993993e-1f;
  p = p * f + 3.3333331174e-1f;
  const Lanes f2 = f * f;
  // ln 2 in two parts, the first exact in few bits, so that e * ln 2 loses nothing.
  const Lanes tail = p * f * f2 + e * -2.12194440e-4f - 0.5f * f2;
  return e * 0.693359375f + (f + tail);
}

// Index vectors of one step of a square transpose: rows i and i + kStep exchange their off-diagonal blocks.
template <int kStep>
ENGINE_INLINE void transpose_step(Lanes* rows) {
  Lanes next[kLanes];
  ENGINE_UNROLL(16)
  for (int i = 0; i < kLanes; i++) {
    if (i & kStep) continue;
    const Lanes a = rows[i], b = rows[i + kStep];
#define ENGINE_LOW(l) (((l) & kStep) ? (l) - kStep + kLanes : (l))
#define ENGINE_HIGH(l) (((l) & kStep) ? (l) + kLanes : (l) + kStep)
#if defined(__AVX512F__)
    next[i] = __builtin_shufflevector(a, b, ENGINE_LOW(0), ENGINE_LOW(1), ENGINE_LOW(2), ENGINE_LOW(3), ENGINE_LOW(4),
                                      ENGINE_LOW(5), ENGINE_LOW(6), ENGINE_LOW(7), ENGINE_LOW(8), ENGINE_LOW(9),
                                      ENGINE_LOW(10), ENGINE_LOW(11), ENGINE_LOW(12), ENGINE_LOW(13), ENGINE_LOW(14),
                                      ENGINE_LOW(15));
    next[i + kStep] = __builtin_shufflevector(a, b, ENGINE_HIGH(0), ENGINE_HIGH(1), ENGINE_HIGH(2), ENGINE_HIGH(3),
                                              ENGINE_HIGH(4), ENGINE_HIGH(5), ENGINE_HIGH(6), ENGINE_HIGH(7),
                                              ENGINE_HIGH(8), ENGINE_HIGH(9), ENGINE_HIGH(10), ENGINE_HIGH(11),
                                              ENGINE_HIGH(12), ENGINE_HIGH(13), ENGINE_HIGH(14), ENGINE_HIGH(15));
#elif defined(__AVX2__)
    next[i] = __builtin_shufflevector(a, b, ENGINE_LOW(0), ENGINE_LOW(1), ENGINE_LOW(2), ENGINE_LOW(3), ENGINE_LOW(4),
                                      ENGINE_LOW(5), ENGINE_LOW(6), ENGINE_LOW(7));
    next[i + kStep] = __builtin_shufflevector(a, b, ENGINE_HIGH(0), ENGINE_HIGH(1), ENGINE_HIGH(2), ENGINE_HIGH(3),
                                              ENGINE_HIGH(4), ENGINE_HIGH(5), ENGINE_HIGH(6), ENGINE_HIGH(7));
#else
    next[i] = __builtin_shufflevector(a, b, ENGINE_LOW(0), ENGINE_LOW(1), ENGINE_LOW(2), ENGINE_LOW(3));
    next[i + kStep] = __builtin_shufflevector(a, b, ENGINE_HIGH(0), ENGINE_HIGH(1), ENGINE_HIGH(2), ENGINE_HIGH(3));
#endif
#undef ENGINE_LOW
#undef ENGINE_HIGH
  }
  ENGINE_UNROLL(16)
  for (int i = 0; i < kLanes; i++) rows[i] = next[i];
}

// Transposes kLanes x kLanes floats held in registers (Eklundh's algorithm).
ENGINE_INLINE void transpose(Lanes* rows) {
#if defined(__AVX512F__)
  transpose_step<8>(rows);
#endif
#if defined(__AVX512F__) || defined(__AVX2__)
  transpose_step<4>(rows);
#endif
  transpose_step<2>(rows);
  transpose_step<1>(rows);
}

}  // namespace ENGINE_ISA
}  // namespace engine
