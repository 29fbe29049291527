// Rows rounded to 8 bits: their codes, and how these are packed for the products of code_lanes.h.
#pragma once

#include <vector>

#include "distance_bound.h"
#include "distance_tiles.h"

namespace engine {

// Longer rows could overflow the sums of products of codes.
constexpr long kLongestEncoded = (1L << 31) / (127 * 127) - 1;

// The codes of a range of rows.
class RowCodes {
 public:
  // Room for n_rows rows of `operand`.
  RowCodes(const Operand& operand, long n_rows);

  // Measured rows begin .. end - 1 take the place of what was there.
  void encode(long begin, long end, int n_threads);

  const int8_t* codes(long row) const { return codes_.data() + (row - begin_) * stride_; }
  const EncodedRow& operator[](long row) const { return rows_[row - begin_]; }

 private:
  const Operand& operand_;
  long begin_ = 0, stride_;
  AlignedArray<int8_t> codes_;
  std::vector<EncodedRow> rows_;
};

// Codes packed for one side of a product, whole tiles of rows; padding has codes 0.
class CodePanels {
 public:
  enum class Side { kLeft, kRight };

  // Room for n_rows rows of d <= kLongestEncoded numbers.
  CodePanels(Side side, long n_rows, long d);

  // Rows begin .. end - 1 take the place of what was there. Their steps are multiplied by `factor`.
  void pack(const RowCodes& codes, long begin, long end, float factor, int n_threads);

  int n_words() const { return static_cast<int>(n_words_); }
  int n_tiles() const { return n_tiles_; }
  const uint32_t* words() const { return words_.data(); }
  const float* steps() const { return steps_.data(); }
  const int32_t* sums() const { return sums_.data(); }

 private:
  Side side_;
  long width_, n_words_;
  int n_tiles_ = 0;
  AlignedArray<uint32_t> words_;
  std::vector<float> steps_;
  std::vector<int32_t> sums_;
};

// How large the rounding errors of codes are on average, relative to the rows; from a sample of them.
double coding_ratio(const Operand& operand);

// Better lower bounds of distances in a set, from one row as it is and the codes of the other: half the error, and a
// quarter of the memory that the other row itself takes.
class NarrowedBound {
 public:
  NarrowedBound(const Operand& rows, const RowCodes& codes, const FilterBound& bound)
      : rows_(rows), codes_(codes), bound_(bound) {}
  double operator()(long i, long j);

 private:
  const Operand& rows_;
  const RowCodes& codes_;
  const FilterBound& bound_;
  std::vector<float> scratch_;
  const float* values_ = nullptr;
  long row_ = -1;  // the row values_ are of
};

}  // namespace engine
