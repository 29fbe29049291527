// Rows rounded to 8 bits, and matrix products of them: four products of codes and their sum in one instruction, where a
// float32 multiply-add is one product. Sums are whole numbers and have no rounding error of their own.
#pragma once

#include "filter_lanes.h"

namespace engine {
namespace ENGINE_ISA {

// Rows whose largest value is below this are not worth a step: their codes are 0.
constexpr float kSmallestEncoded = 0x1p-60f;

typedef double DoubleLanes __attribute__((vector_size(4 * kLanes)));
union HalfPair {
  Lanes all;
  float __attribute__((vector_size(2 * kLanes))) halves[2];
};

// GCC compiles conversions of vectors of bytes to scalar code, and warns of the intrinsics without masks.
constexpr __mmask16 kAllLanes = 0xffff;
constexpr float kWhole = 0x1.8p23f;  // adding and subtracting it rounds to a whole number

// Fills in `codes`, those of the row x * scale + shift, with zeros up to a multiple of 64.
static EncodedRow encode(const float* x, long n, float scale, const float* shift, int8_t* codes) {
  Lanes largest = {};
  float largest_value = 0;
  long i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Lanes y = load(x + i) * scale + load(shift + i);
    largest = larger(largest, (Lanes)((IntLanes)y & 0x7fffffff));
  }
  for (; i < n; i++) {
    const float y = x[i] * scale + shift[i];
    largest_value = __builtin_fabsf(y) > largest_value ? __builtin_fabsf(y) : largest_value;
  }
  for (int l = 0; l < kLanes; l++) largest_value = largest[l] > largest_value ? largest[l] : largest_value;
  if (!(largest_value >= kSmallestEncoded && largest_value <= kLargest)) {
    for (i = 0; i < n || i % 64; i++) codes[i] = 0;
    return {0.0f, 0, static_cast<double>(n) * largest_value * largest_value};
  }

  EncodedRow row = {largest_value / 127, 0, 0.0};
  const float inverse = 127 / largest_value;
  IntLanes sums = {};
  DoubleLanes errors[2] = {};
  for (i = 0; i + kLanes <= n; i += kLanes) {
    const Lanes y = load(x + i) * scale + load(shift + i);
    const Lanes code = y * inverse + kWhole - kWhole;
    const IntLanes whole = __builtin_convertvector(code, IntLanes);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(codes + i), _mm512_maskz_cvtepi32_epi8(kAllLanes, (__m512i)whole));
    sums += whole;
    const HalfPair error = {y - code * row.step};
    for (int h = 0; h < 2; h++) {
      const DoubleLanes wide = __builtin_convertvector(error.halves[h], DoubleLanes);
      errors[h] += wide * wide;
    }
  }
  for (int l = 0; l < kLanes; l++) row.sum += sums[l];
  for (int l = 0; l < kLanes / 2; l++) row.squared_error += errors[0][l] + errors[1][l];
  for (; i < n; i++) {
    const float y = x[i] * scale + shift[i];
    const float code = y * inverse + kWhole - kWhole;
    const double error = y - code * row.step;
    codes[i] = static_cast<int8_t>(code);
    row.sum += static_cast<int32_t>(code);
    row.squared_error += error * error;
  }
  for (; i % 64; i++) codes[i] = 0;
  return row;
}

// The product of the row x * scale + shift with codes, in float32.
static float dot_codes(const float* x, long n, float scale, const float* shift, const int8_t* codes) {
  Lanes sums[4] = {};  // four hide the latency of the addition
  long i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    ENGINE_UNROLL(4)
    for (int s = 0; s < 4; s++) {
      const long k = i + s * kLanes;
      const __m128i narrow = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + k));
      const IntLanes code = (IntLanes)_mm512_maskz_cvtepi8_epi32(kAllLanes, narrow);
      sums[s] += (load(x + k) * scale + load(shift + k)) * __builtin_convertvector(code, Lanes);
    }
  }
  const Lanes all = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  float total = 0;
  for (int l = 0; l < kLanes; l++) total += all[l];
  for (; i < n; i++) total += (x[i] * scale + shift[i]) * codes[i];
  return total;
}

// out[k * width + r] = word k of row r, 0 for rows n_rows .. width - 1, with 128 added to each code where a product
// takes it as unsigned. Rows lie a multiple of 64 codes apart.
static void pack_codes(const int8_t* codes, int n_rows, int n_words, int width, bool add_128, uint32_t* out) {
  const long stride = (n_words + 15) / 16 * 16;  // in words
  const IntLanes flip = IntLanes{} + (add_128 ? static_cast<int32_t>(0x80808080) : 0);
  for (int r = 0; r < width; r += kLanes) {
    for (int k = 0; k < n_words; k += kLanes) {
      Lanes block[kLanes];
      ENGINE_UNROLL(16)
      for (int i = 0; i < kLanes; i++) {
        block[i] = Lanes{};
        if (r + i < n_rows) block[i] = load(reinterpret_cast<const float*>(codes) + (r + i) * stride + k);
        block[i] = (Lanes)((IntLanes)block[i] ^ flip);
      }
      transpose(block);
      for (int i = 0; i < smaller(kLanes, n_words - k); i++) {
        const __mmask16 rows = static_cast<__mmask16>((1u << smaller(kLanes, width - r)) - 1);
        _mm512_mask_storeu_ps(out + static_cast<long>(k + i) * width + r, rows, (__m512)block[i]);
      }
    }
  }
}

// Hands the tile's sums of products to `finish(Lanes sums[kTileRows][kTileVectors])`. The sum over k of
// (a_k + 128) b_k is the product of the codes plus 128 times the sum of b: sums start at minus that.
template <class FinishTile>
ENGINE_INLINE void multiply_codes(int n_words, const uint32_t* a, const uint32_t* b, const int32_t* b_sum,
                                  FinishTile finish) {
  __m512i c[kTileRows][kTileVectors];
  ENGINE_UNROLL(8)
  for (int i = 0; i < kTileRows; i++) ENGINE_UNROLL(3)
  for (int h = 0; h < kTileVectors; h++)
    c[i][h] = _mm512_mullo_epi32(_mm512_loadu_si512(b_sum + h * kLanes), _mm512_set1_epi32(-128));
  for (int k = 0; k < n_words; k++, a += kTileRows, b += kTileColumns) {
    __m512i row[kTileVectors];
    ENGINE_UNROLL(3)
    for (int h = 0; h < kTileVectors; h++) row[h] = _mm512_loadu_si512(b + h * kLanes);
    ENGINE_UNROLL(8)
    for (int i = 0; i < kTileRows; i++) ENGINE_UNROLL(3)
    for (int h = 0; h < kTileVectors; h++)
      c[i][h] = _mm512_dpbusd_epi32(c[i][h], _mm512_set1_epi32(static_cast<int32_t>(a[i])), row[h]);
  }
  Lanes sums[kTileRows][kTileVectors];
  ENGINE_UNROLL(8)
  for (int i = 0; i < kTileRows; i++) ENGINE_UNROLL(3)
  for (int h = 0; h < kTileVectors; h++) {
    asm("" : "+v"(c[i][h]));  // or else GCC keeps a second copy in memory and stores to it in the loop
    sums[i][h] = __builtin_convertvector((IntLanes)c[i][h], Lanes);
  }
  finish(sums);
}

template <bool kColumnLimits>
ENGINE_INLINE void filter_codes_block(const CodeTiles& t, const SurvivorFilter& f) {
  for (int m = 0; m < t.n_row_tiles; m++) {
    for (int p = 0; p < t.n_column_tiles; p++) {
      const uint32_t* a = t.a + static_cast<long>(m) * t.n_words * kTileRows;
      const uint32_t* b = t.b + static_cast<long>(p) * t.n_words * kTileColumns;
      multiply_codes(t.n_words, a, b, t.column_sum + p * kTileColumns,
                     [&](Lanes(*sums)[kTileVectors]) __attribute__((always_inline)) {
                       ENGINE_UNROLL(8)
                       for (int i = 0; i < kTileRows; i++) ENGINE_UNROLL(3)
                       for (int h = 0; h < kTileVectors; h++)
                         sums[i][h] *=
                             load(t.column_step + p * kTileColumns + h * kLanes) * t.row_step[m * kTileRows + i];
                       filter_tile<kColumnLimits>(f, m, p, sums);
                     });
    }
  }
}

static void filter_codes(const CodeTiles& t, const SurvivorFilter& f) {
  f.column_limit ? filter_codes_block<true>(t, f) : filter_codes_block<false>(t, f);
}

}  // namespace ENGINE_ISA
}  // namespace engine
