// Running lists of the nearest rows.
#pragma once

#include <algorithm>
#include <limits>
#include <optional>
#include <vector>

#include "distance_codes.h"

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

// What one worker tells candidates apart with: better bounds, where there are codes, and distances in double.
struct Comparison {
  ExactDistance exact;
  std::optional<NarrowedBound> narrowed;
};

// For each row of a range, candidates for its k >= 1 nearest. Distances are computed exactly only when the bounds of
// too many candidates overlap, and for those that remain at the end; the least bounds first, as they may rule out the
// others. The outcome does not depend on the order of offers.
class NeighbourLists {
 public:
  // Lists of rows first_row, first_row + 1, ... `padding` more limits than lists, for the kernels that read whole
  // tiles; nothing can be near enough for those. `room`: for candidates beyond the 2 k that any list takes; with loose
  // bounds more of it saves comparisons.
  NeighbourLists(long first_row, long n_rows, long k, long padding, long room = kLeastRoom)
      : first_row_(first_row),
        k_(k),
        capacity_(2 * k + room),
        candidates_(n_rows * capacity_),
        least_uppers_(n_rows * k),
        sizes_(n_rows),
        limits_(n_rows + padding, -kInfinity) {
    std::fill_n(limits_.begin(), n_rows, kInfinity);
  }

  // At limits()[row], the k-th least upper bound so far: no candidate whose lower bound is greater can matter.
  const float* limits() const { return limits_.data(); }

  void offer(long list, Candidate candidate, Comparison& compare) {
    if (sizes_[list] == capacity_) make_room(list, compare);
    if (!(candidate.lower > limits_[list])) add(list, candidate);
  }

  // Offers what is in the same list of `other`.
  void merge(long list, const NeighbourLists& other, Comparison& compare) {
    for (long i = 0; i < other.sizes_[list]; i++) offer(list, other.candidates_[list * capacity_ + i], compare);
  }

  // Finishes a list: its min(k, size) nearest in order. No offers after that.
  const Candidate* sorted(long list, Comparison& compare, long* size) {
    drop_hopeless(list);
    compare_nearest(list, k_, compare);  // for a limit near the final one
    narrow(list, compare);
    compare_nearest(list, sizes_[list], compare);
    Candidate* candidates = candidates_.data() + list * capacity_;
    std::sort(candidates, candidates + sizes_[list]);
    *size = std::min(sizes_[list], k_);
    return candidates;
  }

  static constexpr long kLeastRoom = 6;

 private:
  static constexpr float kInfinity = std::numeric_limits<float>::infinity();

  bool has_room(long list, long n_places) const { return sizes_[list] + n_places <= capacity_; }

  void make_room(long list, Comparison& compare) {
    drop_hopeless(list);
    const long half = (capacity_ - k_) / 2, eighth = (capacity_ - k_) / 8 + 1;
    if (!has_room(list, half)) compare_nearest(list, k_, compare);
    if (!has_room(list, eighth)) narrow(list, compare), drop_hopeless(list);
    if (!has_room(list, eighth)) compare_nearest(list, sizes_[list], compare);
    if (has_room(list, eighth)) return;
    // Equal distances, which no limit tells apart; their order does.
    Candidate* candidates = candidates_.data() + list * capacity_;
    std::nth_element(candidates, candidates + k_, candidates + sizes_[list]);
    sizes_[list] = k_;
  }

  // The k candidates that the limit stems from stay.
  void drop_hopeless(long list) {
    Candidate* candidates = candidates_.data() + list * capacity_;
    const float limit = limits_[list];
    sizes_[list] =
        std::remove_if(candidates, candidates + sizes_[list], [limit](const Candidate& c) { return c.lower > limit; }) -
        candidates;
  }

  void narrow(long list, Comparison& compare) {
    if (!compare.narrowed) return;
    Candidate* candidates = candidates_.data() + list * capacity_;
    for (Candidate* c = candidates; c < candidates + sizes_[list]; c++) {
      if (!(c->lower < c->upper)) continue;
      const double lower = (*compare.narrowed)(first_row_ + list, c->index);
      if (lower > c->lower && lower < c->upper) c->lower = lower;
    }
  }

  // Computes up to `most` distances, in the order of their lower bounds and as long as those are within the limit,
  // which falls on the way, and drops the candidates beyond it.
  void compare_nearest(long list, long most, Comparison& compare) {
    Candidate *begin = candidates_.data() + list * capacity_, *end = begin + sizes_[list];
    std::sort(begin, end, [](const Candidate& a, const Candidate& b) { return a.lower < b.lower; });
    long n_known = 0;
    for (Candidate* c = begin; c < end && most > 0 && !(c->lower > limits_[list]); c++) {
      if (c->lower < c->upper) c->lower = c->upper = compare.exact(first_row_ + list, c->index), most--;
      lower_limit(list, ++n_known, c->upper);
    }
    sizes_[list] = 0;
    for (const Candidate* c = begin; c < end; c++)
      if (!(c->lower > limits_[list])) add(list, *c);
  }

  void add(long list, const Candidate& candidate) {
    candidates_[list * capacity_ + sizes_[list]++] = candidate;
    lower_limit(list, sizes_[list], candidate.upper);
  }

  // Makes the limit the k-th least of `size` upper bounds, of which `upper` is the last.
  void lower_limit(long list, long size, double upper) {
    float* heap = least_uppers_.data() + list * k_;  // its first entry is the greatest
    const float limit = round_up(upper);
    if (size <= k_) {
      heap[size - 1] = limit;
      std::push_heap(heap, heap + size);
    } else if (limit < heap[0]) {
      std::pop_heap(heap, heap + k_);
      heap[k_ - 1] = limit;
      std::push_heap(heap, heap + k_);
    }
    if (size >= k_) limits_[list] = std::min(limits_[list], heap[0]);
  }

  long first_row_, k_, capacity_;
  std::vector<Candidate> candidates_;
  std::vector<float> least_uppers_;
  std::vector<long> sizes_;
  std::vector<float> limits_;
};

}  // namespace engine
