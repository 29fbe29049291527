#include "distance_tiles.h"

#include <algorithm>
#include <new>

#include "parallel.h"

namespace engine {
namespace {

constexpr int kLargestDepth = 256;
constexpr long kBlockRows = 1024;
constexpr long kPackedFloats = 8 << 20;  // of A at a time: 32 MiB

long divide_up(long n, long by) { return (n + by - 1) / by; }

}  // namespace

void* aligned_memory(long bytes) {
  void* memory = std::aligned_alloc(64, divide_up(std::max(bytes, 1L), 64) * 64);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

TileBlocking::TileBlocking(long d, const Kernels& kernels) {
  n_depths = std::max(1L, divide_up(d, kLargestDepth));
  depth = static_cast<int>(divide_up(divide_up(std::max(d, 1L), n_depths), 16) * 16);
  n_depths = std::max(1L, divide_up(d, depth));
  const long tile = kernels.tile_rows;
  block_rows = std::max(tile, std::min(kBlockRows, kPackedFloats / std::max(d, 1L)) / tile * tile);
  block_columns = kernels.tile_columns * (n_depths == 1 ? 8 : 4);
}

PackedRows::PackedRows(const Operand& operand, long begin, long end, const TileBlocking& blocking, float factor,
                       int n_threads)
    : begin_(begin),
      end_(end),
      n_tiles_(static_cast<int>(divide_up(end - begin, kernels().tile_rows))),
      blocking_(blocking),
      tile_rows_(kernels().tile_rows),
      panels_(n_tiles_ * tile_rows_ * operand.d() + 64) {
  const long tiles_per_item = 16;
  parallel_for(divide_up(n_tiles_, tiles_per_item), n_threads, [&](long item) {
    std::vector<float> scratch;
    AlignedFloats panel(blocking_.depth * tile_rows_ + 64);  // pack() writes a little beyond its panel
    const long last = std::min<long>(n_tiles_, (item + 1) * tiles_per_item);
    for (long block = 0; block < blocking_.n_depths; block++) {
      const long first = block * blocking_.depth;
      const int depth = static_cast<int>(std::min<long>(blocking_.depth, operand.d() - first));
      const long size = static_cast<long>(depth) * tile_rows_;
      for (long tile = item * tiles_per_item; tile < last; tile++) {
        operand.pack(begin_ + tile * tile_rows_, end_, first, depth, tile_rows_, factor, scratch, panel.data());
        std::copy_n(panel.data(), size, const_cast<float*>(depth_block(block)) + tile * size);
      }
    }
  });
}

const float* PackedRows::depth_block(long block) const {
  return panels_.data() + block * blocking_.depth * n_tiles_ * tile_rows_;
}

TileProduct::TileProduct(const TileBlocking& blocking, const Kernels& kernels)
    : blocking_(blocking),
      kernels_(kernels),
      panels_(static_cast<long>(blocking.block_columns) * blocking.depth + 64),
      sums_(blocking.n_depths > 1 ? blocking.block_rows * blocking.block_columns : 0) {}

TileBlock TileProduct::last_block(const PackedRows& a, int n_row_tiles, const Operand& b, long begin, long end) {
  const int columns = kernels_.tile_columns;
  TileBlock block;
  block.n_row_tiles = n_row_tiles;
  block.n_column_tiles = static_cast<int>(divide_up(end - begin, columns));
  block.b = panels_.data();
  block.sums = sums_.data();
  for (long i = 0; i < blocking_.n_depths; i++) {
    const long first = i * blocking_.depth;
    block.depth = static_cast<int>(std::min<long>(blocking_.depth, b.d() - first));
    block.a = a.depth_block(i);
    block.add_to_sums = i > 0;
    for (int p = 0; p < block.n_column_tiles; p++)
      b.pack(begin + p * columns, end, first, block.depth, columns, 1.0f, scratch_,
             panels_.data() + static_cast<long>(p) * columns * block.depth);
    if (i + 1 < blocking_.n_depths) kernels_.sum_tiles(block);
  }
  return block;
}

}  // namespace engine
