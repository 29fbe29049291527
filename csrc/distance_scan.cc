#include "distance_scan.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "distance_tiles.h"
#include "parallel.h"

namespace engine {
namespace {

constexpr long kBlockRows = 256;  // scanned into one buffer; a multiple of every vector
constexpr float kLargest = std::numeric_limits<float>::max();
constexpr double kSmallest = 1e-20;  // squared lengths below this may have lost digits to underflow

// The queries as float32, each on a cache line of its own: read with every row, they should not cross lines.
class ScannedQueries {
 public:
  explicit ScannedQueries(const Operand& queries)
      : stride_((queries.d() + 15) / 16 * 16), values_(queries.n() * stride_), squares_(queries.n()) {
    std::vector<float> scratch;
    for (long query = 0; query < queries.n(); query++) {
      std::copy_n(queries.values(query, scratch), queries.d(), values_.data() + query * stride_);
      squares_[query] = kernels().squared_norm(values(query), queries.d());
    }
  }

  const float* values(long query) const { return values_.data() + query * stride_; }
  double square(long query) const { return squares_[query]; }  // of its length

 private:
  long stride_;
  AlignedFloats values_;
  std::vector<double> squares_;
};

// One worker: its lists and buffers.
class Scanner {
 public:
  Scanner(const Operand& queries, const ScannedQueries& scanned, Operand& database, Metric metric,
          const Exclusion& exclusion, long k)
      : queries_(queries),
        scanned_(scanned),
        database_(database),
        metric_(metric),
        exclusion_(exclusion),
        lists_(0, queries.n(), k, 0),
        comparison_{ExactDistance(queries, database), std::nullopt},
        // A sum is at most d / 8 additions long in each of two vectors of 4 or more lanes, and then 3 x 16 over lanes.
        error_(product_error(queries.d() / 8 + 64, queries.d() / 8 + 64)) {}

  // Rows begin .. end - 1, at most kBlockRows. False when one of them is not finite.
  bool scan(long begin, long end) {
    long stride;
    const long n = end - begin;
    const float* x = database_.values(begin, n, 0, database_.d(), row_scratch_, &stride);
    for (long query = 0; query < queries_.n(); query++) {
      if (metric_ == Metric::kCosine || metric_ == Metric::kInnerProduct) {
        bound_products(query, x, stride, n);
      } else {
        bound_differences(scanned_.values(query), x, stride, n);
      }
      const long n_near = kernels().indices_between(bounds_, n, -kInfinity, lists_.limits()[query], near_);
      for (const int* r = near_; r < near_ + n_near; r++)
        if (!(bounds_[*r] > lists_.limits()[query]) && !compare(query, begin + *r)) return false;  // the limit falls
    }
    return true;
  }

  void merge(const Scanner& other) {
    for (long query = 0; query < queries_.n(); query++) lists_.merge(query, other.lists_, comparison_);
  }
  const NeighbourLists& lists() const { return lists_; }

 private:
  // Both fill bounds_ with lower bounds of the distances, -infinity where float32 does not suffice.

  void bound_differences(const float* q, const float* x, long stride, long n) {
    const long d = queries_.d();
    kernels().scan_differences(q, x, stride, n, d, bounds_);
    // A difference and its square are rounded, each relative to itself.
    const float shrink = static_cast<float>(1 - 2 * error_), underflow = static_cast<float>(d * kUnderflow);
    for (long r = 0; r < n; r++) bounds_[r] = bounds_[r] <= kLargest ? bounds_[r] * shrink - underflow : -kInfinity;
  }

  void bound_products(long query, const float* x, long stride, long n) {
    const double square = scanned_.square(query);
    if (!(square > kSmallest && square < 1 / kSmallest)) {
      std::fill(bounds_, bounds_ + n, -kInfinity);
      return;
    }
    kernels().scan_dots(scanned_.values(query), x, stride, n, queries_.d(), bounds_, squares_);
    const ProductBound bound{metric_ == Metric::kCosine, static_cast<float>(std::sqrt(square)),
                             static_cast<float>(4 * error_), static_cast<float>(kSmallest),
                             static_cast<float>(1 / kSmallest)};
    kernels().bound_products(bounds_, squares_, n, bound);
  }

  bool compare(long query, long row) {
    // Of a row that may not be finite the bound is -infinity: it is measured even where it does not count.
    const bool excluded = exclusion_.excludes(query, row);
    if (excluded && bounds_[row % kBlockRows] > -kInfinity) return true;
    if (!database_.measure(row, row + 1)) return false;
    if (excluded) return true;
    const double distance = comparison_.exact(query, row);
    lists_.offer(query, {distance, distance, row}, comparison_);
    return true;
  }

  static constexpr float kInfinity = std::numeric_limits<float>::infinity();

  const Operand& queries_;
  const ScannedQueries& scanned_;
  Operand& database_;
  Metric metric_;
  const Exclusion& exclusion_;
  NeighbourLists lists_;
  Comparison comparison_;
  double error_;
  std::vector<float> row_scratch_;
  float bounds_[kBlockRows] = {}, squares_[kBlockRows] = {};  // whole vectors of them are read
  int near_[kBlockRows] = {};
};

}  // namespace

NeighbourLists scan(const Operand& queries, Operand& database, long k, Metric metric, const Exclusion& exclusion,
                    int n_threads) {
  const long n_blocks = (database.n() + kBlockRows - 1) / kBlockRows;
  const long n_workers = std::max(1L, std::min<long>(n_threads, n_blocks));
  const ScannedQueries scanned(queries);
  std::vector<Scanner> scanners(n_workers, Scanner(queries, scanned, database, metric, exclusion, k));
  std::atomic<long> next{0};
  std::atomic<bool> finite{true};
  parallel_for(n_workers, static_cast<int>(n_workers), [&](long worker) {
    for (long block; finite && (block = next++) < n_blocks;)
      if (!scanners[worker].scan(block * kBlockRows, std::min(database.n(), (block + 1) * kBlockRows))) finite = false;
  });
  if (!finite) database.throw_not_finite();
  for (long worker = 1; worker < n_workers; worker++) scanners[0].merge(scanners[worker]);
  return scanners[0].lists();
}

}  // namespace engine
