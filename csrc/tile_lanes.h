// Matrix products in register tiles. A tile of kTileRows x kTileColumns sums stays in registers over a block of the
// depth; what happens to the finished tile (filtered, stored, or kept for the next depth block) is inlined behind it.
#pragma once

#include "filter_lanes.h"

namespace engine {
namespace ENGINE_ISA {

static_assert(kTileRows <= kLanes || kTileRows % kLanes == 0,
              "pack() stores whole vectors, the next one over the rest");

// out[k * width + r] = value k of row r, 0 for rows n_rows .. width - 1. width is kTileRows or kTileColumns; `out` has
// room for depth * width + kLanes floats.
static void pack(const PackSource& s, int width, float* out) {
  for (int r = 0; r < width; r += kLanes) {
    const int rows = smaller(kLanes, s.n_rows - r);
    int k = 0;
    for (; k + kLanes <= s.depth; k += kLanes) {
      const Lanes shift = load(s.shift + k);
      Lanes block[kLanes];
      ENGINE_UNROLL(16)
      for (int i = 0; i < kLanes; i++) {
        block[i] = Lanes{};
        if (i >= rows) continue;
        const Lanes x = load(s.x + (r + i) * s.stride + k);
        block[i] = ((s.scale ? x * s.scale[r + i] : x) + shift) * s.factor;
      }
      transpose(block);
      ENGINE_UNROLL(16)
      for (int i = 0; i < kLanes; i++) store(out + static_cast<long>(k + i) * width + r, block[i]);
    }
    for (; k < s.depth; k++) {
      for (int i = 0; i < smaller(kLanes, width - r); i++) {
        float value = 0;
        if (i < rows) {
          const float x = s.x[(r + i) * s.stride + k];
          value = ((s.scale ? x * s.scale[r + i] : x) + s.shift[k]) * s.factor;
        }
        out[static_cast<long>(k) * width + r + i] = value;
      }
    }
  }
}

// Hands the tile's products to `finish(Lanes sums[kTileRows][kTileVectors])`.
template <class FinishTile>
ENGINE_INLINE void multiply_tile(int depth, const float* a, const float* b, FinishTile finish) {
  Lanes c[kTileRows][kTileVectors];
  ENGINE_UNROLL(8)
  for (int i = 0; i < kTileRows; i++) ENGINE_UNROLL(3)
  for (int h = 0; h < kTileVectors; h++) c[i][h] = Lanes{};
  for (int k = 0; k < depth; k++, a += kTileRows, b += kTileColumns) {
    Lanes row[kTileVectors];
    ENGINE_UNROLL(3)
    for (int h = 0; h < kTileVectors; h++) row[h] = load(b + h * kLanes);
    ENGINE_UNROLL(8)
    for (int i = 0; i < kTileRows; i++) ENGINE_UNROLL(3)
    for (int h = 0; h < kTileVectors; h++) c[i][h] += row[h] * a[i];
  }
  Lanes sums[kTileRows]
            [kTileVectors];  // a copy: had `c` an address, its sums would live in memory, at a third the speed
  ENGINE_UNROLL(8)
  for (int i = 0; i < kTileRows; i++) ENGINE_UNROLL(3)
  for (int h = 0; h < kTileVectors; h++) sums[i][h] = c[i][h];
  finish(sums);
}

// Calls finish(row_tile, column_tile, sums) for every tile, the sums of earlier depth blocks added.
template <class FinishTile>
ENGINE_INLINE void for_each_tile(const TileBlock& t, FinishTile finish) {
  for (int m = 0; m < t.n_row_tiles; m++) {
    for (int p = 0; p < t.n_column_tiles; p++) {
      const float* a = t.a + static_cast<long>(m) * t.depth * kTileRows;
      const float* b = t.b + static_cast<long>(p) * t.depth * kTileColumns;
      multiply_tile(t.depth, a, b, [&](Lanes(*sums)[kTileVectors]) __attribute__((always_inline)) {
        if (t.add_to_sums) {
          const float* before = t.sums + (static_cast<long>(m) * t.n_column_tiles + p) * kTileSize;
          ENGINE_UNROLL(8)
          for (int i = 0; i < kTileRows; i++) ENGINE_UNROLL(3)
          for (int h = 0; h < kTileVectors; h++) sums[i][h] += load(before + i * kTileColumns + h * kLanes);
        }
        finish(m, p, sums);
      });
    }
  }
}

static void sum_tiles(const TileBlock& t) {
  for_each_tile(t, [&](int m, int p, Lanes(*sums)[kTileVectors]) __attribute__((always_inline)) {
    float* after = t.sums + (static_cast<long>(m) * t.n_column_tiles + p) * kTileSize;
    ENGINE_UNROLL(8)
    for (int i = 0; i < kTileRows; i++) ENGINE_UNROLL(3)
    for (int h = 0; h < kTileVectors; h++) store(after + i * kTileColumns + h * kLanes, sums[i][h]);
  });
}

template <bool kColumnLimits>
ENGINE_INLINE void filter_block(const TileBlock& t, const SurvivorFilter& f) {
  for_each_tile(t, [&](int m, int p, Lanes(*sums)[kTileVectors])
                       __attribute__((always_inline)) { filter_tile<kColumnLimits>(f, m, p, sums); });
}

static void filter_tiles(const TileBlock& t, const SurvivorFilter& f) {
  f.column_limit ? filter_block<true>(t, f) : filter_block<false>(t, f);
}

// A vector of a tile that holds doubtful values or reaches beyond the columns: rare, and kept out of the loop over
// tiles.
static __attribute__((noinline)) void store_checked(const FinishedRows& f, int row, int column, Lanes value,
                                                    Lanes least) {
  const Lanes root = square_root(value);
  for (int l = 0; l < smaller(kLanes, f.n_columns - column); l++) {
    const bool trusted = value[l] >= least[l] && value[l] <= kLargest;
    const float finished = f.finish == Finish::kRoot ? root[l] : value[l];
    f.out[row * f.stride + column + l] = trusted ? finished : f.doubtful(f.self, row, column + l);
  }
}

template <Finish kFinish>
ENGINE_INLINE void finish_block(const TileBlock& t, const FinishedRows& f) {
  for_each_tile(t, [&](int m, int p, Lanes(*sums)[kTileVectors]) __attribute__((always_inline)) {
    Lanes column_squares[kTileVectors];
    ENGINE_UNROLL(3)
    for (int h = 0; h < kTileVectors; h++) column_squares[h] = load(f.column_square + p * kTileColumns + h * kLanes);
    ENGINE_UNROLL(8)
    for (int i = 0; i < kTileRows; i++) {
      const int row = m * kTileRows + i;
      if (row >= f.n_rows) break;
      ENGINE_UNROLL(3)
      for (int h = 0; h < kTileVectors; h++) {
        const int column = p * kTileColumns + h * kLanes;
        Lanes value = sums[i][h], least = broadcast(-kLargest);
        if (kFinish != Finish::kDot) {
          const Lanes squares = column_squares[h] + f.row_square[row];
          value += squares;
          least = squares * f.trusted_relative + f.trusted_absolute;
        }
        if (__builtin_expect(column + kLanes > f.n_columns || any_outside(value, least, broadcast(kLargest)), 0)) {
          store_checked(f, row, column, value, least);
        } else {
          store(f.out + row * f.stride + column, kFinish == Finish::kRoot ? square_root(value) : value);
        }
      }
    }
  });
}

static void finish_tiles(const TileBlock& t, const FinishedRows& f) {
  switch (f.finish) {
    case Finish::kDot: return finish_block<Finish::kDot>(t, f);
    case Finish::kSquare: return finish_block<Finish::kSquare>(t, f);
    case Finish::kRoot: return finish_block<Finish::kRoot>(t, f);
  }
}

}  // namespace ENGINE_ISA
}  // namespace engine
