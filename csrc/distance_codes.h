// Rows rounded to 8 bits and packed for the products of code_lanes.h.
#pragma once

#include <vector>

#include "distance_operand.h"
#include "distance_tiles.h"

namespace engine {

// Longer rows could overflow the sums of products of codes.
constexpr long kLongestEncoded = (1L << 31) / (127 * 127) - 1;

// A range of encoded rows. All arrays are padded to whole tiles.
class EncodedRows {
 public:
  enum class Side { kLeft, kRight };  // of a product

  // Room for n_rows rows of d <= kLongestEncoded numbers. The steps of the rows are multiplied by `factor`.
  EncodedRows(Side side, long n_rows, long d, float factor);

  // Rows begin .. end - 1 of a measured operand take the place of what was there.
  void encode(const Operand& operand, long begin, long end, int n_threads);

  int n_words() const { return static_cast<int>(n_words_); }
  int n_tiles() const { return n_tiles_; }
  const uint32_t* panels() const { return panels_.data(); }
  const float* steps() const { return steps_.data(); }
  const int32_t* sums() const { return sums_.data(); }
  double squared_error(long i) const { return squared_errors_[i]; }

 private:
  Side side_;
  long width_, n_words_;
  float factor_;
  int n_tiles_ = 0;
  AlignedArray<uint32_t> panels_;
  std::vector<float> steps_;
  std::vector<int32_t> sums_;
  std::vector<double> squared_errors_;
};

// How large the rounding errors of encoded rows are on average, relative to the rows; from a sample of them.
double coding_ratio(const Operand& operand);

}  // namespace engine
