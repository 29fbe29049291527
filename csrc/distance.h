// Distances between rows: the full matrix, the nearest rows, and semi-hard negatives. What is returned is decided by
// distances in double; float32 matrix products only find the pairs that need them (distance_bound.h).
#pragma once

#include <cstdint>
#include <vector>

namespace engine {

// kCosine: 1 - cosine of the angle, as half the squared difference of the two unit vectors; 1 where a row is all zeros.
// kInnerProduct ranks by the largest product.
enum class Metric { kCosine, kSquaredEuclidean, kEuclidean, kInnerProduct };

// Whether pairs are filtered by 8-bit codes of the rows, where the processor has fast products of them. The results are
// the same; tests and benchmarks choose.
enum class Encode { kWhereItPays, kAlways, kNever };

// A view of n rows of d numbers, row r at data + r * stride numbers.
struct Rows {
  const char* name;  // for messages: "queries"
  const void* data;
  long n, d, stride;
  bool half;  // IEEE half precision instead of float32
};

// Pairs that do not count: equal group ids (both arrays or neither), row i with row i when `self` is set, and database
// rows that are not allowed at all.
struct Exclusion {
  const int64_t* query_groups = nullptr;
  const int64_t* database_groups = nullptr;
  bool self = false;
  const bool* allowed = nullptr;

  bool excludes(long query, long row) const {
    return (self && query == row) || (query_groups != nullptr && query_groups[query] == database_groups[row]) ||
           (allowed != nullptr && !allowed[row]);
  }
};

// All functions: up to n_threads threads, the same bits for any number of them. They throw std::invalid_argument naming
// the first row with a value that is not finite.

// out[i * out_stride + j] = the distance between a_i and b_j (kInnerProduct: the product). Relative error at most 1e-4
// and usually 1e-6; for kInnerProduct the error is that of a float32 matrix product.
void pairwise(const Rows& a, const Rows& b, Metric metric, float* out, long out_stride, int n_threads);

// The k nearest database rows of each query, nearest first, of equal distances the lower index first. Places without a
// row hold index -1 and distance infinity (kInnerProduct: -infinity). Outputs: queries.n x k.
void top_k(const Rows& queries, const Rows& database, long k, Metric metric, const Exclusion& exclusion, int n_threads,
           int64_t* indices, double* distances, Encode encode = Encode::kWhereItPays);

// top_k of a set in itself, each row but for itself: half the products, since each serves two rows.
void nearest_self(const Rows& database, long k, Metric metric, const int64_t* groups, int n_threads, int64_t* indices,
                  double* distances, Encode encode = Encode::kWhereItPays);

}  // namespace engine
