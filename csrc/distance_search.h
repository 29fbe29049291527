// Search for near rows by filtered matrix products: tiles give bounds of every distance, and the pairs whose lower
// bound is within the k-th least upper bound become candidates.
#pragma once

#include <memory>
#include <vector>

#include "distance_codes.h"
#include "distance_neighbours.h"
#include "distance_tiles.h"

namespace engine {

// The rows of the left side that are searched at a time, and how near their products are to the truth.
struct SearchStrip;

// The blocks of one search, whose threads share the operands and keep lists of their own. Where the processor has fast
// products of 8-bit integers they filter the pairs, unless a sample shows that too few would be ruled out that way;
// then those of float32 do. The results are the same.
class TileSearch {
 public:
  // `queries` is measured; of `database` the first n_measured rows are, the others will be on the way. symmetric: both
  // are the same rows; a pair is met once and offered to the lists of both its rows. ratio: the length of database rows
  // to that of queries, about.
  TileSearch(const Operand& queries, Operand& database, long n_measured, Metric metric, const Exclusion& exclusion,
             bool symmetric, double ratio, Encode encode);

  // The most query rows at a time.
  long block_rows() const { return encoded_ ? encoded_block_rows_ : blocking_.block_rows; }

  // For a symmetric search, before it begins: encodes all rows at once, where codes pay, which saves doing so again and
  // again and makes comparisons faster.
  void encode_set(int n_threads);

  // Must not outlive the search.
  Comparison make_comparison() const;

  // Lists of n_rows rows from first_row on, for each of the workers that n_threads threads make.
  std::vector<NeighbourLists> make_lists(long first_row, long n_rows, long k, int n_threads) const;

  // Finds the neighbours of query rows begin .. end - 1; row 0 of the lists is row `first_list` of the queries. Each
  // worker has lists of its own.
  void search(long begin, long end, long first_list, std::vector<NeighbourLists>& lists);

 private:
  bool codes_pay();
  // Searches blocks of `step` columns from `first` on.
  template <class MakeTiles>
  void search_columns(const SearchStrip& strip, long first, long step, const MakeTiles& make_tiles,
                      std::vector<NeighbourLists>& lists);

  const Operand& queries_;
  Operand& database_;
  long n_measured_;
  Metric metric_;
  const Exclusion& exclusion_;
  bool symmetric_;
  const TileBlocking blocking_;
  const FilterBound bound_;

  bool encoded_;
  const FilterBound encoded_bound_;
  long encoded_block_rows_, encoded_block_columns_;
  std::unique_ptr<RowCodes> set_codes_;
};

}  // namespace engine
