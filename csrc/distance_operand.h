// One side of a comparison: its rows as float32, as the tile kernels see them, and in exact comparisons.
#pragma once

#include <memory>
#include <vector>

#include "distance.h"
#include "kernels.h"

namespace engine {

// Tiles work on rows y = x * scale + shift. The shift, minus a common centre, leaves differences as they are and keeps
// large offsets from drowning them; the scale, for kCosine, gives every row but zeros the squared length 1/2, so that
// the squared difference of two is their cosine distance.
class Operand {
 public:
  // shift: rows.d values. `rows` is a view and must outlive the operand.
  Operand(const Rows& rows, Metric metric, std::vector<float> shift);

  long n() const { return rows_.n; }
  long d() const { return rows_.d; }

  // Fills in what follows for rows begin .. end - 1; distinct rows may be measured by several threads at once. Returns
  // false when a row has a value that is not finite.
  bool measure(long begin, long end);
  double square(long row) const { return squares_[row]; }  // |y|^2
  // The product of a row as given with `vector`, in double.
  double product_with(long row, const std::vector<float>& vector) const;
  bool is_zero(long row) const { return metric_ == Metric::kCosine && inverse_norms_[row] == 0; }
  // Throws std::invalid_argument naming the first row with a value that is not finite.
  [[noreturn]] void throw_not_finite() const;

  // `n_rows` rows from `row`, columns first .. first + width - 1, as float32. A view of the data, or of `scratch`.
  const float* values(long row, long n_rows, long first, long width, std::vector<float>& scratch, long* stride) const;
  const float* values(long row, std::vector<float>& scratch) const;
  // Packs up to `width` rows from `row`, columns first .. first + depth - 1; see pack() in tile_lanes.h.
  void pack(long row, long end, long first, int depth, int width, float factor, std::vector<float>& scratch,
            float* out) const;
  // The codes of a measured row; see encode() in code_lanes.h.
  EncodedRow encode(long row, std::vector<float>& scratch, int8_t* codes) const;
  // The product of a row, whose values() are given, scaled and shifted with codes; see dot_codes() in code_lanes.h.
  double product_with_codes(long row, const float* values, const int8_t* codes) const;

  const std::vector<float>& shift() const { return shift_; }

 private:
  friend class ExactDistance;

  Rows rows_;
  Metric metric_;
  const Kernels& kernels_;
  std::vector<float> shift_;
  // One per row, uninitialised until measured: a scan touches few of them. Null but for kCosine: scales and norms.
  std::unique_ptr<float[]> scales_;
  std::unique_ptr<double[]> inverse_norms_, squares_;
};

// Measures every row. Throws std::invalid_argument naming the first row with a value that is not finite.
void measure_all(Operand& operand, int n_threads);

// Distances in double from the original values, by differences of coordinates: what every ranking rests on. Squared for
// kEuclidean, and minus the product for kInnerProduct. Bit-equal when the two rows are exchanged.
class ExactDistance {
 public:
  ExactDistance(const Operand& a, const Operand& b) : a_(a), b_(b) {}
  double operator()(long i, long j);

 private:
  const Operand &a_, &b_;
  std::vector<float> a_values_, b_values_;  // room for half floats, widened
  const float* a_data_ = nullptr;
  long a_row_ = -1;  // the row a_data_ is
};

// What a user gets for an exact distance: its root for kEuclidean, the product for kInnerProduct.
double finished(Metric metric, double distance);

// The mean of up to 1024 rows spread over all, scaled for the metric: a common centre. Any centre gives the same
// results; this one filters best.
struct Centre {
  Centre(const Rows& rows, Metric metric);
  std::vector<float> shift() const;  // minus the centre; 0 where the sample has no finite mean

  std::vector<double> mean;
  double square;  // mean squared length of the rows as given
  // The same of the rows minus the centre, for metrics other than kCosine.
  double centred_square() const;
};

}  // namespace engine
