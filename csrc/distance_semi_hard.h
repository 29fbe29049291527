// Semi-hard negatives for triplet losses.
#pragma once

#include <cstdint>
#include <vector>

#include "distance.h"

namespace engine {

// The labels of n rows: an id each, or a set each as a bit mask of `words` words. Without either, no two rows share
// any.
struct Labels {
  const int64_t* ids = nullptr;
  const uint64_t* masks = nullptr;
  long words = 0;

  // Which of n other rows share a label with `row`, ascending.
  void find_sharing(long row, const Labels& other, long n, std::vector<long>* sharing) const;
};

// Rows of anchors, positives and candidates.
struct Triplet {
  int64_t anchor, positive, negative;
  bool semi_hard;
};

// For every (anchor, positive) pair the nearest negative that is farther from the anchor than the positive, semi_hard
// true; if there is none, the farthest negative, semi_hard false; if there is no negative at all, -1. Of equal
// distances the lower row. Negatives of an anchor are the candidates that share no label with it.
//
// Pairs: row i of both where `positives` is given, otherwise every two different anchors that share a label, in the
// order of anchor and positive. Candidates: the anchors (an anchor is not its own negative) where none are given.
// metric: not kInnerProduct. Threads and errors as in distance.h.
std::vector<Triplet> semi_hard(const Rows& anchors, const Rows* positives, const Rows* candidates,
                               const Labels& anchor_labels, const Labels& candidate_labels, Metric metric,
                               int n_threads);

}  // namespace engine
