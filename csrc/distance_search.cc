#include "distance_search.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

#include "parallel.h"

namespace engine {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// In smaller sets, or with shorter rows, what codes save is less than what keeping more candidates costs.
constexpr long kShortestEncoded = 64, kSmallestEncoded = 8 << 20;
constexpr long kEncodedRows = 4096, kEncodedRowBytes = 32 << 20;         // packed at a time
constexpr long kEncodedColumnTiles = 32, kEncodedColumnBytes = 1 << 20;  // near the level-2 cache
constexpr long kTrialQueries = 8, kTrialRows = 2048;                     // compared to see whether codes pay
constexpr long kRoom = 126, kRoomBytes = 256 << 20;                      // of one worker's lists

long divide_up(long n, long by) { return (n + by - 1) / by; }

// What FilterBound says of a range of rows. Padding has a bias whose pairs lie beyond every limit.
struct Bounds {
  explicit Bounds(long size) : bias(size, kInfinity), slack(size, kInfinity) {}

  void set(long i, double nominal, float row_bias, bool is_zero) {
    bias[i] = row_bias;
    slack[i] = is_zero ? kInfinity : FilterBound::slack(nominal, row_bias);
  }

  std::vector<float> bias, slack;
};

Bounds database_bounds(const FilterBound& bound, const Operand& rows, long begin, long end, const RowCodes* codes) {
  Bounds bounds(end - begin + kernels().tile_columns);
  for (long i = begin; i < end; i++) {
    const double square = rows.square(i), error = codes ? (*codes)[i].squared_error : 0.0;
    bounds.set(i - begin, bound.database_nominal(square), bound.database_bias(square, error), rows.is_zero(i));
  }
  return bounds;
}

// shift: of the database.
Bounds query_bounds(const FilterBound& bound, const Operand& rows, const std::vector<float>& shift, Metric metric,
                    long begin, long end, const RowCodes* codes) {
  Bounds bounds(end - begin + kernels().tile_rows);
  for (long i = begin; i < end; i++) {
    const double square = rows.square(i), error = codes ? (*codes)[i].squared_error : 0.0;
    const double product = metric == Metric::kInnerProduct ? rows.product_with(i, shift) : 0.0;
    bounds.set(i - begin, bound.query_nominal(square, product), bound.query_bias(square, product, error),
               rows.is_zero(i));
  }
  return bounds;
}

// One worker's products in float32 of a strip with blocks of columns.
class PlainTiles {
 public:
  PlainTiles(const PackedRows& rows, const Operand& database, const TileBlocking& blocking)
      : rows_(rows), database_(database), product_(blocking, kernels()) {}

  void load(long begin, long end) { begin_ = begin, end_ = end; }
  const RowCodes* codes() const { return nullptr; }
  void filter(int n_row_tiles, const SurvivorFilter& filter) {
    kernels().filter_tiles(product_.last_block(rows_, n_row_tiles, database_, begin_, end_), filter);
  }

 private:
  const PackedRows& rows_;
  const Operand& database_;
  TileProduct product_;
  long begin_ = 0, end_ = 0;
};

// The same of codes.
class EncodedTiles {
 public:
  // known: the codes of the whole database, or null.
  EncodedTiles(const CodePanels& rows, const Operand& database, const RowCodes* known, long block_columns)
      : rows_(rows),
        known_(known),
        block_codes_(database, known ? 0 : block_columns),
        columns_(CodePanels::Side::kRight, block_columns, database.d()) {}

  void load(long begin, long end) {
    if (known_ == nullptr) block_codes_.encode(begin, end, 1);
    columns_.pack(*codes(), begin, end, 1.0f, 1);
  }
  const RowCodes* codes() const { return known_ ? known_ : &block_codes_; }
  void filter(int n_row_tiles, const SurvivorFilter& filter) {
    const CodeTiles tiles{rows_.words(),      columns_.words(), rows_.n_words(),  n_row_tiles,
                          columns_.n_tiles(), rows_.steps(),    columns_.steps(), columns_.sums()};
    kernels().filter_codes(tiles, filter);
  }

 private:
  const CodePanels& rows_;
  const RowCodes* known_;
  RowCodes block_codes_;
  CodePanels columns_;
};

}  // namespace

struct SearchStrip {
  long begin, end, first_list;
  const FilterBound& bound;
  const Bounds& bounds;
};

namespace {

// One block of columns: takes the survivors of the filter.
struct Block {
  const SearchStrip& strip;
  const Exclusion& exclusion;
  bool symmetric;
  long begin, end;
  const Bounds& bounds;
  NeighbourLists& lists;
  Comparison& comparison;

  SurvivorFilter filter() {
    SurvivorFilter filter;
    filter.row_bias = strip.bounds.bias.data();
    filter.column_bias = bounds.bias.data();
    filter.row_limit = lists.limits() + (strip.begin - strip.first_list);
    filter.column_limit = symmetric ? lists.limits() + (begin - strip.first_list) : nullptr;
    filter.survivor = [](void* self, int row, int column, float bound) {
      static_cast<Block*>(self)->compare(row, column, bound);
    };
    filter.self = this;
    return filter;
  }

  void compare(int row, int column, float bound) {
    const long i = strip.begin + row, j = begin + column;
    if (i >= strip.end || j >= end || (symmetric && j <= i)) return;
    // Another pair of the same vector may have lowered the limits since the kernel looked.
    const bool near_row = !(bound > lists.limits()[i - strip.first_list]);
    const bool near_column = symmetric && !(bound > lists.limits()[j - strip.first_list]);
    if (!(near_row || near_column) || exclusion.excludes(i, j)) return;
    // Where float32 overflowed, nothing is known.
    Candidate candidate{bound, bound + (strip.bounds.slack[row] + bounds.slack[column]), j};
    if (!(std::fabs(candidate.upper) < kInfinity)) candidate.lower = -kInfinity, candidate.upper = kInfinity;
    if (near_row) lists.offer(i - strip.first_list, candidate, comparison);
    candidate.index = i;
    if (near_column) lists.offer(j - strip.first_list, candidate, comparison);
  }
};

}  // namespace

TileSearch::TileSearch(const Operand& queries, Operand& database, long n_measured, Metric metric,
                       const Exclusion& exclusion, bool symmetric, double ratio, Encode encode)
    : queries_(queries),
      database_(database),
      n_measured_(n_measured),
      metric_(metric),
      exclusion_(exclusion),
      symmetric_(symmetric),
      blocking_(database.d(), kernels()),
      bound_(metric, database.d(), product_error(database.d(), blocking_.depth), ratio),
      encoded_(kernels().encode != nullptr && encode != Encode::kNever && database.d() <= kLongestEncoded),
      encoded_bound_(metric, database.d(), 0.0, ratio, encoded_ ? coding_ratio(queries) : 0.0),
      encoded_block_rows_(std::max(1L, std::min(kEncodedRows, kEncodedRowBytes / std::max(1L, database.d())))),
      encoded_block_columns_(kernels().tile_columns *
                             std::max(1L, std::min(kEncodedColumnTiles, kEncodedColumnBytes / kernels().tile_columns /
                                                                            std::max(1L, database.d())))) {
  if (encode == Encode::kWhereItPays) encoded_ = encoded_ && codes_pay();
}

// Survivors of the filter are counted in a sample. Its nearest rows are farther than those among all, so that in
// proportion there are not more survivors among all. Codes save three quarters of the time of a pair, which is half a
// pair in a symmetric search, and half of that may be spent again: an exact distance takes the time of 12 products in
// float32 tiles, and some more; a narrowed bound, which has half the error, takes 5.
bool TileSearch::codes_pay() {
  if (database_.d() < kShortestEncoded || database_.n() < kSmallestEncoded / database_.d()) return false;
  const long n_queries = std::min(kTrialQueries, queries_.n()), n_rows = std::min(kTrialRows, database_.n());
  ExactDistance exact(queries_, database_);
  RowCodes codes(queries_, 1), row_codes(database_, 1);
  std::vector<double> distances(n_rows), errors(n_rows);
  const auto sampled_row = [&](long j) { return j * database_.n() / n_rows; };
  for (long j = 0; j < n_rows; j++) {
    const long row = sampled_row(j);
    if (row >= n_measured_ && !database_.measure(row, row + 1)) database_.throw_not_finite();
    row_codes.encode(row, row + 1, 1);
    const double square = database_.square(row), error = row_codes[row].squared_error;
    errors[j] = encoded_bound_.database_nominal(square) - encoded_bound_.database_bias(square, error);
  }
  long n_pairs = 0, n_survivors = 0, n_narrowed = 0;
  for (long i = 0; i < n_queries; i++) {
    const long query = (2 * i + 1) * queries_.n() / (2 * n_queries);
    codes.encode(query, query + 1, 1);
    const double square = queries_.square(query);
    const double error =
        encoded_bound_.query_nominal(square, 0) - encoded_bound_.query_bias(square, 0, codes[query].squared_error);
    for (long j = 0; j < n_rows; j++)
      distances[j] = exclusion_.excludes(query, sampled_row(j)) ? kInfinity : exact(query, sampled_row(j));
    const double nearest = *std::min_element(distances.begin(), distances.end());
    for (long j = 0; j < n_rows && nearest < kInfinity; j++) {
      const double doubt = error + errors[j];
      n_survivors += !(distances[j] - doubt > nearest);
      n_narrowed += !(distances[j] - doubt / 2 > nearest);
    }
    n_pairs += n_rows;
  }
  const double start = 3000.0 / static_cast<double>(database_.d());  // of a comparison, in products
  const double narrowing = symmetric_ ? (5 + start) * static_cast<double>(n_survivors) : 0.0;
  const double exact_cost = (12 + start) * static_cast<double>(symmetric_ ? n_narrowed : n_survivors);
  return narrowing + exact_cost < (symmetric_ ? 0.1875 : 0.375) * static_cast<double>(n_pairs);
}

void TileSearch::encode_set(int n_threads) {
  if (!encoded_) return;
  set_codes_ = std::make_unique<RowCodes>(database_, database_.n());
  set_codes_->encode(0, database_.n(), n_threads);
}

std::vector<NeighbourLists> TileSearch::make_lists(long first_row, long n_rows, long k, int n_threads) const {
  const long block_columns = encoded_ ? encoded_block_columns_ : blocking_.block_columns;
  const long n_workers = std::max(1L, std::min<long>(n_threads, divide_up(database_.n(), block_columns)));
  const long affordable = kRoomBytes / static_cast<long>(sizeof(Candidate)) / std::max(1L, n_rows);
  const long room =
      encoded_ ? std::max(NeighbourLists::kLeastRoom, std::min(kRoom, affordable)) : NeighbourLists::kLeastRoom;
  const long padding = std::max(block_rows(), blocking_.block_rows) +
                       std::max(block_columns, static_cast<long>(blocking_.block_columns));
  return std::vector<NeighbourLists>(n_workers, NeighbourLists(first_row, n_rows, k, padding, room));
}

Comparison TileSearch::make_comparison() const {
  Comparison comparison{ExactDistance(queries_, database_), std::nullopt};
  if (set_codes_) comparison.narrowed.emplace(database_, *set_codes_, encoded_bound_);
  return comparison;
}

void TileSearch::search(long begin, long end, long first_list, std::vector<NeighbourLists>& lists) {
  const int n_workers = static_cast<int>(lists.size());
  const float factor = static_cast<float>(bound_.tile_factor());
  const auto bounds_of = [&](const FilterBound& bound, const RowCodes* codes) {
    return symmetric_ ? database_bounds(bound, queries_, begin, end, codes)
                      : query_bounds(bound, queries_, database_.shift(), metric_, begin, end, codes);
  };
  const long column = symmetric_ ? begin : 0;
  if (!encoded_) {
    const PackedRows rows(queries_, begin, end, blocking_, factor, n_workers);
    const Bounds bounds = bounds_of(bound_, nullptr);
    search_columns(
        {begin, end, first_list, bound_, bounds}, column, blocking_.block_columns,
        [&] { return PlainTiles(rows, database_, blocking_); }, lists);
    return;
  }
  RowCodes strip_codes(queries_, set_codes_ ? 0 : end - begin);
  if (!set_codes_) strip_codes.encode(begin, end, n_workers);
  const RowCodes& codes = set_codes_ ? *set_codes_ : strip_codes;
  CodePanels rows(CodePanels::Side::kLeft, end - begin, queries_.d());
  rows.pack(codes, begin, end, factor, n_workers);
  const Bounds bounds = bounds_of(encoded_bound_, &codes);
  search_columns(
      {begin, end, first_list, encoded_bound_, bounds}, column, encoded_block_columns_,
      [&] { return EncodedTiles(rows, database_, set_codes_.get(), encoded_block_columns_); }, lists);
}

template <class MakeTiles>
void TileSearch::search_columns(const SearchStrip& strip, long first, long step, const MakeTiles& make_tiles,
                                std::vector<NeighbourLists>& lists) {
  const long n_blocks = divide_up(database_.n() - first, step), tile_rows = kernels().tile_rows;
  std::atomic<long> next{0};
  std::atomic<bool> finite{true};
  parallel_for(static_cast<long>(lists.size()), static_cast<int>(lists.size()), [&](long worker) {
    auto tiles = make_tiles();
    for (long i; finite && (i = next++) < n_blocks;) {
      const long begin = first + i * step, end = std::min(database_.n(), begin + step);
      if (begin >= n_measured_ && !database_.measure(begin, end)) {
        finite = false;
        break;
      }
      tiles.load(begin, end);
      const Bounds bounds = database_bounds(strip.bound, database_, begin, end, tiles.codes());
      Comparison comparison = make_comparison();
      Block block{strip, exclusion_, symmetric_, begin, end, bounds, lists[worker], comparison};
      // Rows beyond the last column meet these columns as columns of their own.
      const long last_row = symmetric_ ? std::min(strip.end, end) : strip.end;
      const long n_row_tiles = divide_up(last_row - strip.begin, tile_rows);
      tiles.filter(static_cast<int>(n_row_tiles), block.filter());
    }
  });
  if (!finite) database_.throw_not_finite();
  n_measured_ = database_.n();
}

}  // namespace engine
