// Nearest rows by filtered matrix products: tiles give bounds of every distance, and the pairs whose lower bound is
// within the k-th least upper bound become candidates.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>

#include "distance.h"
#include "distance_neighbours.h"
#include "distance_scan.h"
#include "distance_tiles.h"
#include "parallel.h"

namespace engine {
namespace {

long round_up_to(long n, long multiple) { return (n + multiple - 1) / multiple * multiple; }

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// What FilterBound says of a range of rows. Padding has a bias whose pairs lie beyond every limit.
struct Bounds {
  explicit Bounds(long size) : bias(size, kInfinity), slack(size, kInfinity) {}
  std::vector<float> bias, slack;
};

// The blocks of one search, whose threads share the operands and keep lists of their own.
class TileSearch {
 public:
  // symmetric: both operands are the same rows; a pair is met once and offered to the lists of both its rows.
  TileSearch(const Operand& queries, Operand& database, const TileBlocking& blocking, const FilterBound& bound,
             const Exclusion& exclusion, bool symmetric)
      : queries_(queries),
        database_(database),
        blocking_(blocking),
        bound_(bound),
        exclusion_(exclusion),
        symmetric_(symmetric),
        kernels_(kernels()),
        column_bounds_(round_up_to(database.n(), blocking.block_columns) + blocking.block_columns) {}

  // Finds the neighbours of query rows begin .. end - 1; row 0 of the lists is row `first_list` of the queries. Each
  // worker has lists of its own.
  void search(long begin, long end, long first_list, const Bounds& row_bounds, std::vector<NeighbourLists>& lists) {
    const PackedRows rows(queries_, begin, end, blocking_, static_cast<float>(bound_.tile_factor()),
                          static_cast<int>(lists.size()));
    const long first_column = symmetric_ ? begin : 0;
    const long n_blocks = (database_.n() - first_column + blocking_.block_columns - 1) / blocking_.block_columns;
    std::atomic<long> next{0};
    std::atomic<bool> finite{true};
    parallel_for(lists.size(), static_cast<int>(lists.size()), [&](long worker) {
      Pass pass{*this, lists[worker], ExactDistance(queries_, database_), row_bounds, begin, end, first_list, 0, 0};
      TileProduct product(blocking_, kernels_);
      for (long block; finite && (block = next++) < n_blocks;) {
        pass.first_column = first_column + block * blocking_.block_columns;
        pass.end_column = std::min(database_.n(), pass.first_column + blocking_.block_columns);
        if (!measured_) {
          if (!database_.measure(pass.first_column, pass.end_column)) {
            finite = false;
            break;
          }
          fill_bounds(pass.first_column, pass.end_column);
        }
        pass.run(product, rows);
      }
    });
    if (!finite) database_.throw_not_finite();
    measured_ = true;
  }

  // The database is measured already: nothing is left for the first search to do.
  void set_measured() {
    fill_bounds(0, database_.n());
    measured_ = true;
  }

 private:
  // One worker's block of tiles.
  struct Pass {
    TileSearch& search;
    NeighbourLists& lists;
    ExactDistance exact;
    const Bounds& row_bounds;
    long begin, end, first_list, first_column, end_column;

    void run(TileProduct& product, const PackedRows& rows) {
      int n_tiles = rows.n_tiles();
      if (search.symmetric_) {  // rows beyond the last column meet these columns as columns of their own
        const long tiles = (end_column - begin + search.kernels_.tile_rows - 1) / search.kernels_.tile_rows;
        n_tiles = static_cast<int>(std::min<long>(n_tiles, tiles));
      }
      const TileBlock block = product.last_block(rows, n_tiles, search.database_, first_column, end_column);
      SurvivorFilter filter;
      filter.row_bias = row_bounds.bias.data();
      filter.column_bias = search.column_bounds_.bias.data() + first_column;
      filter.row_limit = lists.limits() + (begin - first_list);
      filter.column_limit = search.symmetric_ ? lists.limits() + (first_column - first_list) : nullptr;
      filter.survivor = [](void* self, int row, int column, float bound) {
        static_cast<Pass*>(self)->compare(row, column, bound);
      };
      filter.self = this;
      search.kernels_.filter_tiles(block, filter);
    }

    void compare(int row, int column, float bound) {
      const long i = begin + row, j = first_column + column;
      if (i >= end || j >= end_column || (search.symmetric_ && j <= i)) return;
      // Another pair of the same vector may have lowered the limits since the kernel looked.
      const bool near_row = !(bound > lists.limits()[i - first_list]);
      const bool near_column = search.symmetric_ && !(bound > lists.limits()[j - first_list]);
      if (!(near_row || near_column) || search.exclusion_.excludes(i, j)) return;
      // Where float32 overflowed, nothing is known.
      Candidate candidate{bound, bound + (row_bounds.slack[row] + search.column_bounds_.slack[j]), j};
      if (!(std::fabs(candidate.upper) < kInfinity)) candidate.lower = -kInfinity, candidate.upper = kInfinity;
      if (near_row) lists.offer(i - first_list, candidate, exact);
      candidate.index = i;
      if (near_column) lists.offer(j - first_list, candidate, exact);
    }
  };

  void fill_bounds(long begin, long end) {
    for (long j = begin; j < end; j++) {
      column_bounds_.bias[j] = bound_.database_bias(database_.square(j));
      column_bounds_.slack[j] = database_.is_zero(j) ? kInfinity : bound_.database_slack(database_.square(j));
    }
  }

  const Operand& queries_;
  Operand& database_;
  const TileBlocking& blocking_;
  const FilterBound& bound_;
  const Exclusion& exclusion_;
  bool symmetric_, measured_ = false;
  const Kernels& kernels_;
  Bounds column_bounds_;
};

void write_missing(long begin, long end, Metric metric, int64_t* indices, double* distances) {
  const double missing = std::numeric_limits<double>::infinity();
  std::fill(indices + begin, indices + end, -1);
  std::fill(distances + begin, distances + end, metric == Metric::kInnerProduct ? -missing : missing);
}

// Row `row` of the results from what exact comparisons gave.
void write_row(NeighbourLists& lists, long list, ExactDistance& exact, long row, long k, Metric metric,
               int64_t* indices, double* distances) {
  long size;
  const Candidate* nearest = lists.sorted(list, exact, &size);
  for (long i = 0; i < size; i++) {
    indices[row * k + i] = nearest[i].index;
    distances[row * k + i] = finished(metric, nearest[i].upper);
  }
  write_missing(row * k + size, (row + 1) * k, metric, indices, distances);
}

void merge_into_first(std::vector<NeighbourLists>& lists, ExactDistance& exact) {
  for (size_t worker = 1; worker < lists.size(); worker++) lists[0].merge(lists[worker], exact);
}

}  // namespace

void top_k(const Rows& queries, const Rows& database, long k, Metric metric, const Exclusion& exclusion, int n_threads,
           int64_t* indices, double* distances) {
  const Centre centre(database, metric);
  const bool product = metric == Metric::kInnerProduct;
  Operand a(queries, metric, product ? std::vector<float>(queries.d, 0.0f) : centre.shift());
  Operand b(database, metric, centre.shift());
  measure_all(a, n_threads);
  const long kept = std::min(k, database.n);
  if (kept == 0 || queries.n == 0) {
    measure_all(b, n_threads);
    write_missing(0, queries.n * k, metric, indices, distances);
    return;
  }
  ExactDistance exact(a, b);
  if (queries.n <= kMostScanned) {
    NeighbourLists lists = scan(a, b, kept, metric, exclusion, n_threads);
    for (long i = 0; i < queries.n; i++) write_row(lists, i, exact, i, k, metric, indices, distances);
    return;
  }

  const TileBlocking blocking(queries.d, kernels());
  double square = 0;
  for (long i = 0; i < queries.n; i++) square += a.square(i) / queries.n;
  const FilterBound bound(metric, queries.d, blocking.depth, std::sqrt(centre.centred_square() / square));
  TileSearch search(a, b, blocking, bound, exclusion, /*symmetric=*/false);
  const int workers = static_cast<int>(
      std::max(1L, std::min<long>(n_threads, (database.n + blocking.block_columns - 1) / blocking.block_columns)));
  for (long begin = 0; begin < queries.n; begin += blocking.block_rows) {
    const long end = std::min(queries.n, begin + blocking.block_rows);
    Bounds row_bounds(blocking.block_rows);
    for (long i = begin; i < end; i++) {
      const double shift_product = product ? a.product_with(i, b.shift()) : 0.0;
      row_bounds.bias[i - begin] = bound.query_bias(a.square(i), shift_product);
      row_bounds.slack[i - begin] = a.is_zero(i) ? kInfinity : bound.query_slack(a.square(i), shift_product);
    }
    std::vector<NeighbourLists> lists(workers, NeighbourLists(begin, end - begin, kept, blocking.block_rows));
    search.search(begin, end, begin, row_bounds, lists);
    merge_into_first(lists, exact);
    for (long i = begin; i < end; i++) write_row(lists[0], i - begin, exact, i, k, metric, indices, distances);
  }
}

void nearest_self(const Rows& database, long k, Metric metric, const int64_t* groups, int n_threads, int64_t* indices,
                  double* distances) {
  const bool product = metric == Metric::kInnerProduct;
  // Products of a set with itself are symmetric only about the origin.
  Operand rows(database, metric, product ? std::vector<float>(database.d, 0.0f) : Centre(database, metric).shift());
  measure_all(rows, n_threads);
  const long n = database.n, kept = std::min(k, n - 1);
  if (kept <= 0) {
    write_missing(0, n * k, metric, indices, distances);
    return;
  }
  const TileBlocking blocking(database.d, kernels());
  const FilterBound bound(metric, database.d, blocking.depth, /*product_ratio=*/1.0);
  const Exclusion exclusion{groups, groups, true};
  TileSearch search(rows, rows, blocking, bound, exclusion, /*symmetric=*/true);
  search.set_measured();
  const int workers = static_cast<int>(
      std::max(1L, std::min<long>(n_threads, (n + blocking.block_columns - 1) / blocking.block_columns)));
  std::vector<NeighbourLists> lists(workers, NeighbourLists(0, n, kept, blocking.block_rows + blocking.block_columns));
  for (long begin = 0; begin < n; begin += blocking.block_rows) {
    const long end = std::min(n, begin + blocking.block_rows);
    Bounds row_bounds(blocking.block_rows);
    for (long i = begin; i < end; i++) {
      row_bounds.bias[i - begin] = bound.database_bias(rows.square(i));
      row_bounds.slack[i - begin] = rows.is_zero(i) ? kInfinity : bound.database_slack(rows.square(i));
    }
    search.search(begin, end, 0, row_bounds, lists);
  }
  ExactDistance exact(rows, rows);
  merge_into_first(lists, exact);
  for (long i = 0; i < n; i++) write_row(lists[0], i, exact, i, k, metric, indices, distances);
}

}  // namespace engine
