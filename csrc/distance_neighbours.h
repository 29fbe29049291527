// Running lists of the nearest rows.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "distance_bound.h"

namespace engine {

// A row that may be among the nearest: its distance is from lower to upper, which are equal once it is known.
struct Candidate {
  double lower, upper;
  long index;

  // For known distances; equal ones by index: the order of every result.
  bool operator<(const Candidate& other) const {
    return upper < other.upper || (upper == other.upper && index < other.index);
  }
};

// For each row of a range, candidates for its k >= 1 nearest. Distances are computed exactly only when the bounds of
// too many candidates overlap, and for those that remain at the end. The outcome does not depend on the order of
// offers.
class NeighbourLists {
 public:
  // Lists of rows first_row, first_row + 1, ... `padding` more limits than lists, for the kernels that read whole
  // tiles; nothing can be near enough for those.
  NeighbourLists(long first_row, long n_rows, long k, long padding)
      : first_row_(first_row),
        k_(k),
        capacity_(2 * k + 6),
        candidates_(n_rows * capacity_),
        least_uppers_(n_rows * k),
        sizes_(n_rows),
        limits_(n_rows + padding, -kInfinity) {
    std::fill_n(limits_.begin(), n_rows, kInfinity);
  }

  // At limits()[row], the k-th least upper bound so far: no candidate whose lower bound is greater can matter.
  const float* limits() const { return limits_.data(); }

  void offer(long list, Candidate candidate, ExactDistance& exact) {
    if (sizes_[list] == capacity_) make_room(list, exact);
    if (!(candidate.lower > limits_[list])) add(list, candidate);
  }

  void merge(const NeighbourLists& other, ExactDistance& exact) {
    for (size_t list = 0; list < sizes_.size(); list++)
      for (long i = 0; i < other.sizes_[list]; i++)
        offer(static_cast<long>(list), other.candidates_[list * capacity_ + i], exact);
  }

  // Finishes a list: its min(k, size) nearest in order. No offers after that.
  const Candidate* sorted(long list, ExactDistance& exact, long* size) {
    drop_hopeless(list);
    compare_exactly(list, exact);
    Candidate* candidates = candidates_.data() + list * capacity_;
    std::sort(candidates, candidates + sizes_[list]);
    *size = std::min(sizes_[list], k_);
    return candidates;
  }

 private:
  static constexpr float kInfinity = std::numeric_limits<float>::infinity();

  void make_room(long list, ExactDistance& exact) {
    drop_hopeless(list);
    if (sizes_[list] <= k_ + 3) return;
    compare_exactly(list, exact);
    Candidate* candidates = candidates_.data() + list * capacity_;
    std::nth_element(candidates, candidates + k_, candidates + sizes_[list]);
    sizes_[list] = 0;
    for (long i = 0; i < k_; i++) add(list, candidates[i]);
  }

  // The k candidates that the limit stems from stay.
  void drop_hopeless(long list) {
    Candidate* candidates = candidates_.data() + list * capacity_;
    const float limit = limits_[list];
    sizes_[list] =
        std::remove_if(candidates, candidates + sizes_[list], [limit](const Candidate& c) { return c.lower > limit; }) -
        candidates;
  }

  void compare_exactly(long list, ExactDistance& exact) {
    Candidate* candidates = candidates_.data() + list * capacity_;
    for (Candidate* c = candidates; c < candidates + sizes_[list]; c++)
      if (c->lower < c->upper) c->lower = c->upper = exact(first_row_ + list, c->index);
  }

  void add(long list, const Candidate& candidate) {
    candidates_[list * capacity_ + sizes_[list]] = candidate;
    const long size = ++sizes_[list];
    float* heap = least_uppers_.data() + list * k_;  // its first entry is the greatest
    const float upper = round_up(candidate.upper);
    if (size <= k_) {
      heap[size - 1] = upper;
      std::push_heap(heap, heap + size);
    } else if (upper < heap[0]) {
      std::pop_heap(heap, heap + k_);
      heap[k_ - 1] = upper;
      std::push_heap(heap, heap + k_);
    }
    if (size >= k_) limits_[list] = heap[0];
  }

  long first_row_, k_, capacity_;
  std::vector<Candidate> candidates_;
  std::vector<float> least_uppers_;
  std::vector<long> sizes_;
  std::vector<float> limits_;
};

}  // namespace engine
