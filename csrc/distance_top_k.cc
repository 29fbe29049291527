// Nearest rows of every query, and of every row of a set.
#include <algorithm>
#include <cmath>

#include "distance_scan.h"
#include "distance_search.h"
#include "parallel.h"

namespace engine {
namespace {

void write_missing(long begin, long end, Metric metric, int64_t* indices, double* distances) {
  const double missing = std::numeric_limits<double>::infinity();
  std::fill(indices + begin, indices + end, -1);
  std::fill(distances + begin, distances + end, metric == Metric::kInnerProduct ? -missing : missing);
}

// Row `row` of the results from what exact comparisons gave.
void write_row(NeighbourLists& lists, long list, Comparison& comparison, long row, long k, Metric metric,
               int64_t* indices, double* distances) {
  long size;
  const Candidate* nearest = lists.sorted(list, comparison, &size);
  for (long i = 0; i < size; i++) {
    indices[row * k + i] = nearest[i].index;
    distances[row * k + i] = finished(metric, nearest[i].upper);
  }
  write_missing(row * k + size, (row + 1) * k, metric, indices, distances);
}

// Rows begin .. end - 1 of the results from the lists of all workers, of which list 0 is row `begin`.
void write_rows(std::vector<NeighbourLists>& lists, const TileSearch& search, long begin, long end, long k,
                Metric metric, int n_threads, int64_t* indices, double* distances) {
  const long rows_per_item = 64;
  parallel_for((end - begin + rows_per_item - 1) / rows_per_item, n_threads, [&](long item) {
    Comparison comparison = search.make_comparison();
    for (long i = item * rows_per_item; i < std::min(end - begin, (item + 1) * rows_per_item); i++) {
      for (size_t worker = 1; worker < lists.size(); worker++) lists[0].merge(i, lists[worker], comparison);
      write_row(lists[0], i, comparison, begin + i, k, metric, indices, distances);
    }
  });
}

}  // namespace

namespace {

void top_k_by_scan(const Rows& queries, const Rows& database, long k, Metric metric, const Exclusion& exclusion,
                   int n_threads, int64_t* indices, double* distances) {
  // Nothing is centred: reading rows for a centre would take longer than a scan of a small set.
  Operand a(queries, metric, std::vector<float>(queries.d)), b(database, metric, std::vector<float>(queries.d));
  measure_all(a, n_threads);
  const long kept = std::min(k, database.n);
  if (kept == 0 || queries.n == 0) {
    measure_all(b, n_threads);
    write_missing(0, queries.n * k, metric, indices, distances);
    return;
  }
  Comparison comparison{ExactDistance(a, b), std::nullopt};
  NeighbourLists lists = scan(a, b, kept, metric, exclusion, n_threads);
  for (long i = 0; i < queries.n; i++) write_row(lists, i, comparison, i, k, metric, indices, distances);
}

}  // namespace

void top_k(const Rows& queries, const Rows& database, long k, Metric metric, const Exclusion& exclusion, int n_threads,
           int64_t* indices, double* distances, Encode encode) {
  const long kept = std::min(k, database.n);
  if (queries.n <= kMostScanned || kept == 0) {
    top_k_by_scan(queries, database, k, metric, exclusion, n_threads, indices, distances);
    return;
  }
  const Centre centre(database, metric);
  const bool product = metric == Metric::kInnerProduct;
  Operand a(queries, metric, product ? std::vector<float>(queries.d, 0.0f) : centre.shift());
  Operand b(database, metric, centre.shift());
  measure_all(a, n_threads);

  double square = 0;
  for (long i = 0; i < queries.n; i++) square += a.square(i) / queries.n;
  const double ratio = metric == Metric::kCosine ? 1.0 : std::sqrt(centre.centred_square() / square);
  TileSearch search(a, b, /*n_measured=*/0, metric, exclusion, /*symmetric=*/false, ratio, encode);
  for (long begin = 0, end; begin < queries.n; begin = end) {
    end = std::min(queries.n, begin + search.block_rows());
    std::vector<NeighbourLists> lists = search.make_lists(begin, end - begin, kept, n_threads);
    search.search(begin, end, begin, lists);
    write_rows(lists, search, begin, end, k, metric, n_threads, indices, distances);
  }
}

void nearest_self(const Rows& database, long k, Metric metric, const int64_t* groups, int n_threads, int64_t* indices,
                  double* distances, Encode encode) {
  const bool product = metric == Metric::kInnerProduct;
  // Products of a set with itself are symmetric only about the origin.
  Operand rows(database, metric, product ? std::vector<float>(database.d, 0.0f) : Centre(database, metric).shift());
  measure_all(rows, n_threads);
  const long n = database.n, kept = std::min(k, n - 1);
  if (kept <= 0) {
    write_missing(0, n * k, metric, indices, distances);
    return;
  }
  const Exclusion exclusion{groups, groups, true, nullptr};
  TileSearch search(rows, rows, /*n_measured=*/n, metric, exclusion, /*symmetric=*/true, /*ratio=*/1.0, encode);
  search.encode_set(n_threads);
  std::vector<NeighbourLists> lists = search.make_lists(0, n, kept, n_threads);
  for (long begin = 0, end; begin < n; begin = end) {
    end = std::min(n, begin + search.block_rows());
    search.search(begin, end, 0, lists);
  }
  write_rows(lists, search, 0, n, k, metric, n_threads, indices, distances);
}

}  // namespace engine
