// The shape of register tiles, and the filter that finished tiles of a search go through.
#pragma once

#include "lanes.h"
#include "tile.h"

namespace engine {
namespace ENGINE_ISA {

// Sums, one row of B and one broadcast of A must fit the registers: 32 of them, 16 in AVX2 and SSE.
#if defined(__AVX512F__)
constexpr int kTileRows = 8, kTileVectors = 3;
#elif defined(__AVX2__)
constexpr int kTileRows = 6, kTileVectors = 2;
#elif defined(__aarch64__)
constexpr int kTileRows = 8, kTileVectors = 3;
#else
constexpr int kTileRows = 4, kTileVectors = 2;
#endif
constexpr int kTileColumns = kTileVectors * kLanes;
constexpr int kTileSize = kTileRows * kTileColumns;

constexpr float kLargest = 3.402823466e+38f;

// A row of a tile that holds survivors: rare, and kept out of the loop over tiles.
static __attribute__((noinline)) void report_survivors(const SurvivorFilter& f, int row, int column,
                                                       const Lanes* bounds) {
  for (int h = 0; h < kTileVectors; h++) {
    for (int l = 0; l < kLanes; l++) {
      const int c = column + h * kLanes + l;
      const float bound = bounds[h][l];
      if (!(bound > f.row_limit[row]) || (f.column_limit && !(bound > f.column_limit[c])))
        f.survivor(f.self, row, c, bound);
    }
  }
}

// `sums` holds the products of row tile m with column tile p, and then their bounds.
template <bool kColumnLimits>
ENGINE_INLINE void filter_tile(const SurvivorFilter& f, int m, int p, Lanes (*sums)[kTileVectors]) {
  const int column = p * kTileColumns;
  Lanes bias[kTileVectors];
  ENGINE_UNROLL(3)
  for (int h = 0; h < kTileVectors; h++) bias[h] = load(f.column_bias + column + h * kLanes);
  ENGINE_UNROLL(8)
  for (int i = 0; i < kTileRows; i++) {
    const int row = m * kTileRows + i;
    const Lanes row_bias = broadcast(f.row_bias[row]), row_limit = broadcast(f.row_limit[row]);
    bool survives = false;
    ENGINE_UNROLL(3)
    for (int h = 0; h < kTileVectors; h++) {
      sums[i][h] += bias[h] + row_bias;
      survives |= any_not_greater(sums[i][h], row_limit);
      if (kColumnLimits) survives |= any_not_greater(sums[i][h], load(f.column_limit + column + h * kLanes));
    }
    if (__builtin_expect(survives, 0)) report_survivors(f, row, column, sums[i]);
  }
}

}  // namespace ENGINE_ISA
}  // namespace engine
