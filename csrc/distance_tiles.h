// A matrix product of two operands, block by block: how both are cut, packed and multiplied.
#pragma once

#include <cstdlib>
#include <memory>
#include <vector>

#include "distance_operand.h"
#include "kernels.h"

namespace engine {

// Memory on a cache line of its own.
void* aligned_memory(long bytes);

// Uninitialised numbers on a cache line of their own.
template <class Number>
class AlignedArray {
 public:
  explicit AlignedArray(long n) : memory_(static_cast<Number*>(aligned_memory(n * sizeof(Number)))) {}
  Number* data() const { return memory_.get(); }

 private:
  struct Free {
    void operator()(Number* memory) const { std::free(memory); }
  };
  std::unique_ptr<Number, Free> memory_;
};

using AlignedFloats = AlignedArray<float>;

// Sizes of the blocks, in rows and columns of the operands, chosen for the caches.
struct TileBlocking {
  TileBlocking(long d, const Kernels& kernels);

  int depth;          // coordinates multiplied at a time: a column tile's panel is about one level-1 cache
  long n_depths;      // blocks of them
  long block_rows;    // rows of A packed at a time, all depths
  int block_columns;  // rows of B packed at a time, one depth, which stay in the level-2 cache
};

// Rows begin .. end - 1 of an operand, packed for the left side of tile products, values times `factor`.
class PackedRows {
 public:
  PackedRows(const Operand& operand, long begin, long end, const TileBlocking& blocking, float factor, int n_threads);

  long begin() const { return begin_; }
  long end() const { return end_; }
  int n_tiles() const { return n_tiles_; }
  const float* depth_block(long block) const;

 private:
  long begin_, end_;
  int n_tiles_;
  const TileBlocking& blocking_;
  int tile_rows_;
  AlignedFloats panels_;
};

// One thread's multiplication of packed rows with rows of another operand.
class TileProduct {
 public:
  TileProduct(const TileBlocking& blocking, const Kernels& kernels);

  // The product of the first n_row_tiles tiles of `a` with rows begin .. end - 1 of `b`, at most block_columns of them.
  // Returns the last depth block, ready for filter_tiles or finish_tiles.
  TileBlock last_block(const PackedRows& a, int n_row_tiles, const Operand& b, long begin, long end);

 private:
  const TileBlocking& blocking_;
  const Kernels& kernels_;
  AlignedFloats panels_, sums_;
  std::vector<float> scratch_;
};

}  // namespace engine
