#include "distance_pairwise.h"

#include <algorithm>
#include <atomic>
#include <limits>

#include "parallel.h"

namespace engine {
namespace {

struct Recompute {
  ExactDistance exact;
  Metric metric;
  long first_row, first_column;

  float operator()(int row, int column) {
    return static_cast<float>(finished(metric, exact(first_row + row, first_column + column)));
  }
};

// |y|^2 of rows begin .. end - 1, padded with zeros. NaN for a row of zeros in kCosine, whose distances differ from the
// formula, so that they are all computed again.
std::vector<float> squares(const Operand& operand, long begin, long end, long size) {
  std::vector<float> squares(size);
  for (long i = begin; i < end; i++)
    squares[i - begin] =
        operand.is_zero(i) ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(operand.square(i));
  return squares;
}

Finish finish_of(Metric metric) {
  if (metric == Metric::kInnerProduct) return Finish::kDot;
  return metric == Metric::kEuclidean ? Finish::kRoot : Finish::kSquare;
}

}  // namespace

PairwiseDistances::PairwiseDistances(const Rows& a, const Rows& b, Metric metric, int n_threads)
    : PairwiseDistances(a, b, metric,
                        metric == Metric::kInnerProduct ? std::vector<float>(b.d, 0.0f) : Centre(b, metric).shift(),
                        n_threads) {}

PairwiseDistances::PairwiseDistances(const Rows& a, const Rows& b, Metric metric, std::vector<float> shift,
                                     int n_threads)
    : metric_(metric),
      a_(a, metric, shift),
      b_(b, metric, shift),
      blocking_(a.d, kernels()),
      bound_(metric, a.d, product_error(a.d, blocking_.depth), /*ratio=*/1.0) {
  measure_all(a_, n_threads);
  measure_all(b_, n_threads);
  for (long j = 0; j < b_.n(); j++) largest_b_square_ = std::max(largest_b_square_, b_.square(j));
}

void PairwiseDistances::compute(long begin, long end, float* out, long stride, int n_threads) const {
  const float factor = metric_ == Metric::kInnerProduct ? 1.0f : -2.0f;
  const PackedRows rows(a_, begin, end, blocking_, factor, n_threads);
  const std::vector<float> row_squares = squares(a_, begin, end, blocking_.block_rows);
  const long step = blocking_.block_columns, n_blocks = (b_.n() + step - 1) / step;
  const int n_workers = static_cast<int>(std::max(1L, std::min<long>(n_threads, n_blocks)));
  std::atomic<long> next{0};
  parallel_for(n_workers, n_workers, [&](long) {
    TileProduct tiles(blocking_, kernels());
    Recompute recompute{ExactDistance(a_, b_), metric_, begin, 0};
    FinishedRows finish;
    finish.finish = finish_of(metric_);
    finish.row_square = row_squares.data();
    finish.trusted_relative = static_cast<float>(bound_.relative_error() / kRelativeError);
    finish.trusted_absolute = static_cast<float>(bound_.absolute_error() / kRelativeError);
    finish.stride = stride;
    finish.n_rows = static_cast<int>(end - begin);
    finish.doubtful = [](void* self, int row, int column) { return (*static_cast<Recompute*>(self))(row, column); };
    finish.self = &recompute;
    for (long block; (block = next++) < n_blocks;) {
      const long first = block * step, last = std::min(b_.n(), first + step);
      const std::vector<float> column_squares = squares(b_, first, last, step);
      finish.column_square = column_squares.data();
      finish.out = out + first;
      finish.n_columns = static_cast<int>(last - first);
      recompute.first_column = first;
      kernels().finish_tiles(tiles.last_block(rows, rows.n_tiles(), b_, first, last), finish);
    }
  });
}

void pairwise(const Rows& a, const Rows& b, Metric metric, float* out, long out_stride, int n_threads) {
  const PairwiseDistances distances(a, b, metric, n_threads);
  if (b.n == 0) return;
  for (long begin = 0; begin < a.n; begin += distances.block_rows())
    distances.compute(begin, std::min(a.n, begin + distances.block_rows()), out + begin * out_stride, out_stride,
                      n_threads);
}

}  // namespace engine
