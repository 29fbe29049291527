// Plain views that cross into the instruction-set units' matrix kernels. No functions here: see lanes.h for why.
#pragma once

#include <cstdint>

namespace engine {

// Rows to be packed: value k of row r becomes (x[r][k] * scale[r] + shift[k]) * factor, rounded to float32 before the
// factor, a power of two, applies.
struct PackSource {
  const float* x;
  long stride;         // floats from row to row
  int n_rows, depth;   // depth: values of a row
  const float* scale;  // [n_rows], or null for 1
  const float* shift;  // [depth]
  float factor;
};

// A block of the matrix product A B': every row tile against every column tile, over one block of the depth.
struct TileBlock {
  const float* a;  // n_row_tiles panels of depth x tile_rows floats
  const float* b;  // n_column_tiles panels of depth x tile_columns floats
  int depth, n_row_tiles, n_column_tiles;
  float* sums;       // products of the depth blocks before this one, tile by tile
  bool add_to_sums;  // false for the first depth block, which has nothing to add to
};

// Pairs that may be among the nearest. Their bound is product + row_bias + column_bias; `survivor` hears of every pair
// whose bound is not greater than row_limit or, where there are column limits, than column_limit (NaN is not greater).
// It may lower the limits. All arrays are padded to whole tiles, and pairs beyond the true rows and columns are
// reported too.
struct SurvivorFilter {
  const float *row_bias, *column_bias;
  const float *row_limit, *column_limit;  // column_limit may be null
  void (*survivor)(void* self, int row, int column, float bound);
  void* self;
};

// kDot: the product itself. kSquare: product + row_square + column_square. kRoot: the square root of that.
enum class Finish { kDot, kSquare, kRoot };

// A row as whole numbers from -127 to 127: its value k is about step * codes[k].
struct EncodedRow {
  float step;
  int32_t sum;           // of the codes
  double squared_error;  // the squared length of the row minus step * codes
};

// The whole matrix product of encoded rows.
struct CodeTiles {
  const uint32_t* a;  // n_row_tiles panels of n_words x tile_rows words of four codes, 128 added to each code
  const uint32_t* b;  // n_column_tiles panels of n_words x tile_columns words of four codes
  int n_words, n_row_tiles, n_column_tiles;
  const float *row_step, *column_step;  // padded to whole tiles, as are
  const int32_t* column_sum;
};

// Where finished values go. `doubtful` recomputes those that are not finite or, but for kDot, less than
// trusted_relative * (row_square + column_square) + trusted_absolute.
struct FinishedRows {
  Finish finish;
  const float *row_square, *column_square;  // padded to whole tiles
  float trusted_relative, trusted_absolute;
  float* out;
  long stride;
  int n_rows, n_columns;  // what lies beyond is not stored
  float (*doubtful)(void* self, int row, int column);
  void* self;
};

}  // namespace engine
