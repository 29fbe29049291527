// Nearest rows of a few queries: one pass over the database at memory speed.
#pragma once

#include "distance_neighbours.h"

namespace engine {

// With more queries than this, packing the database for tile products is repaid.
constexpr long kMostScanned = 4;

// `queries` is measured, `database` is not: rows are measured as far as they must be compared exactly.
NeighbourLists scan(const Operand& queries, Operand& database, long k, Metric metric, const Exclusion& exclusion,
                    int n_threads);

}  // namespace engine
