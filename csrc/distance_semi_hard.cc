#include "distance_semi_hard.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <utility>

#include "distance_pairwise.h"
#include "parallel.h"

namespace engine {
namespace {

constexpr long kBlockDistances = 4 << 20;  // held at a time
constexpr float kInfinity = std::numeric_limits<float>::infinity(), kLargest = std::numeric_limits<float>::max();

// The negatives of one anchor. float32 distances choose which few are compared in double.
class Negatives {
 public:
  // distances[j]: to candidate j, -infinity where it is no negative.
  Negatives(long anchor, const float* distances, const PairwiseDistances& source)
      : anchor_(anchor),
        n_(source.b().n()),
        distances_(distances),
        absolute_error_(source.absolute_error(anchor)),
        exact_(source.a(), source.b()),
        near_(new int[n_]) {}

  // The values from low to high hold every candidate whose distance is `distance`, and the other way round.
  double low(double distance) const { return distance - error(distance); }
  double high(double distance) const { return distance + error(distance); }

  static constexpr long kNone = -1, kUndecided = -2;

  // The nearest one farther than a distance from `least` to `most`, where that suffices to tell.
  long nearest_beyond(double least, double most) {
    // Values above high(most) are surely farther; the least of them bounds the answer.
    const float surely = kernels().smallest_above(distances_, n_, static_cast<float>(high(most)));
    n_near_ = kernels().indices_between(distances_, n_, static_cast<float>(low(least)),
                                        static_cast<float>(high(high(surely))), near_.get());
    if (n_near_ == 0) return kNone;
    return n_near_ == 1 && surely < kInfinity ? near_[0] : kUndecided;
  }

  long nearest_beyond(double distance) {
    const long decided = nearest_beyond(distance, distance);
    if (decided != kUndecided) return decided;
    double best = kInfinity;
    long index = kNone;
    for (long i = 0; i < n_near_; i++) {
      const double candidate = exact_(anchor_, near_[i]);
      if (candidate > distance && candidate < best) best = candidate, index = near_[i];
    }
    return index;
  }

  long farthest() {
    if (farthest_ != kUndecided) return farthest_;
    farthest_ = kNone;
    const float largest = n_ > 0 ? kernels().largest_value(distances_, n_) : -kInfinity;
    if (largest < 0) return farthest_;
    const double least = low(low(std::min(largest, kLargest)));
    n_near_ = kernels().indices_between(distances_, n_, static_cast<float>(least), kInfinity, near_.get());
    double distance = -kInfinity;
    for (long i = 0; i < n_near_; i++) {
      const double candidate = exact_(anchor_, near_[i]);
      if (candidate > distance) distance = candidate, farthest_ = near_[i];
    }
    return farthest_;
  }

 private:
  // More than a value may be off, by enough to cover rounding the sum to float32 as well.
  double error(double distance) const {
    constexpr double kRelative = 1.01 * PairwiseDistances::kRelativeError, kSmallest = 1e-44;
    return std::min(1.01 * absolute_error_, kRelative * distance) + 2 * kRounding * distance + kSmallest;
  }

  long anchor_, n_;
  const float* distances_;
  double absolute_error_;
  ExactDistance exact_;
  std::unique_ptr<int[]> near_;
  long n_near_ = 0, farthest_ = kUndecided;
};

}  // namespace

void Labels::find_sharing(long row, const Labels& other, long n, std::vector<long>* sharing) const {
  sharing->clear();
  if (ids != nullptr) {
    const int64_t id = ids[row];
    for (long j = 0; j < n; j++)
      if (other.ids[j] == id) sharing->push_back(j);
  }
  for (long j = 0; j < n && words > 0; j++) {
    uint64_t common = 0;
    for (long w = 0; w < words; w++) common |= masks[row * words + w] & other.masks[j * words + w];
    if (common != 0) sharing->push_back(j);
  }
}

std::vector<Triplet> semi_hard(const Rows& anchors, const Rows* positives, const Rows* candidates,
                               const Labels& anchor_labels, const Labels& candidate_labels, Metric metric,
                               int n_threads) {
  if (metric == Metric::kEuclidean) metric = Metric::kSquaredEuclidean;  // the same order, without roots
  const PairwiseDistances distances(anchors, candidates ? *candidates : anchors, metric, n_threads);
  const long n_candidates = distances.b().n();
  Operand positive_rows(positives ? *positives : anchors, metric, distances.a().shift());
  measure_all(positive_rows, n_threads);

  const long block_rows = std::max(1L, std::min(distances.block_rows(), kBlockDistances / std::max(n_candidates, 1L)));
  const AlignedFloats block(std::min(block_rows, anchors.n) * n_candidates);
  std::vector<std::vector<Triplet>> triplets(anchors.n);
  for (long begin = 0; begin < anchors.n; begin += block_rows) {
    const long end = std::min(anchors.n, begin + block_rows);
    if (n_candidates > 0) distances.compute(begin, end, block.data(), n_candidates, n_threads);
    parallel_for(end - begin, n_threads, [&](long i) {
      const long anchor = begin + i;
      float* row = block.data() + i * n_candidates;
      if (candidates == nullptr) row[anchor] = -kInfinity;
      std::vector<long> sharing;
      anchor_labels.find_sharing(anchor, candidate_labels, n_candidates, &sharing);
      std::vector<float> shared_distances(sharing.size());
      for (size_t s = 0; s < sharing.size(); s++) shared_distances[s] = std::exchange(row[sharing[s]], -kInfinity);
      Negatives negatives(anchor, row, distances);
      ExactDistance exact(distances.a(), positive_rows);
      const auto add = [&](long positive, long beyond) {
        if (beyond == Negatives::kUndecided) beyond = negatives.nearest_beyond(exact(anchor, positive));
        const bool found = beyond != Negatives::kNone;
        triplets[anchor].push_back({anchor, positive, found ? beyond : negatives.farthest(), found});
      };
      if (positives) {
        add(anchor, Negatives::kUndecided);
      } else if (candidates == nullptr) {
        triplets[anchor].reserve(sharing.size());
        for (size_t s = 0; s < sharing.size(); s++) {
          if (sharing[s] == anchor) continue;
          const double distance = shared_distances[s];
          add(sharing[s], distance <= kLargest
                              ? negatives.nearest_beyond(negatives.low(distance), negatives.high(distance))
                              : Negatives::kUndecided);
        }
      } else {
        anchor_labels.find_sharing(anchor, anchor_labels, anchors.n, &sharing);
        for (const long p : sharing)
          if (p != anchor) add(p, Negatives::kUndecided);
      }
    });
  }
  std::vector<Triplet> all;
  for (const std::vector<Triplet>& some : triplets) all.insert(all.end(), some.begin(), some.end());
  return all;
}

}  // namespace engine
