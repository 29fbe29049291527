// Blocks of the matrix of distances between two sets of rows.
#pragma once

#include "distance_bound.h"
#include "distance_tiles.h"

namespace engine {

// Values as engine::pairwise describes them.
class PairwiseDistances {
 public:
  // A value that is not computed again in double is at most this far from the true one, relative to itself.
  static constexpr double kRelativeError = 1e-4;

  // Throws std::invalid_argument naming the first row with a value that is not finite.
  PairwiseDistances(const Rows& a, const Rows& b, Metric metric, int n_threads);

  const Operand& a() const { return a_; }
  const Operand& b() const { return b_; }
  // How far a value in this row of the matrix is at most from the true distance; not for kEuclidean and kInnerProduct.
  double absolute_error(long row) const {
    return bound_.relative_error() * (a_.square(row) + largest_b_square_) + bound_.absolute_error();
  }
  // The most rows that compute() takes.
  long block_rows() const { return blocking_.block_rows; }
  // out[(i - begin) * stride + j] = the distance between rows i of a, begin <= i < end, and j of b.
  void compute(long begin, long end, float* out, long stride, int n_threads) const;

 private:
  PairwiseDistances(const Rows& a, const Rows& b, Metric metric, std::vector<float> shift, int n_threads);

  Metric metric_;
  Operand a_, b_;
  TileBlocking blocking_;
  FilterBound bound_;
  double largest_b_square_ = 0;
};

}  // namespace engine
