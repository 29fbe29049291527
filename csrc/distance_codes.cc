#include "distance_codes.h"

#include <algorithm>
#include <cmath>

#include "parallel.h"

namespace engine {
namespace {

constexpr long kSampledRows = 64, kRowsPerItem = 192;

long divide_up(long n, long by) { return (n + by - 1) / by; }

}  // namespace

RowCodes::RowCodes(const Operand& operand, long n_rows)
    : operand_(operand), stride_(divide_up(operand.d(), 64) * 64), codes_(n_rows * stride_), rows_(n_rows) {}

void RowCodes::encode(long begin, long end, int n_threads) {
  begin_ = begin;
  parallel_for(divide_up(end - begin, kRowsPerItem), n_threads, [&](long item) {
    std::vector<float> scratch;
    const long first = item * kRowsPerItem;
    for (long r = first; r < std::min(end - begin, first + kRowsPerItem); r++)
      rows_[r] = operand_.encode(begin + r, scratch, codes_.data() + r * stride_);
  });
}

CodePanels::CodePanels(Side side, long n_rows, long d)
    : side_(side),
      width_(side == Side::kLeft ? kernels().tile_rows : kernels().tile_columns),
      n_words_(divide_up(d, 4)),
      words_(divide_up(n_rows, width_) * width_ * n_words_),
      steps_(divide_up(n_rows, width_) * width_),
      sums_(steps_.size()) {}

void CodePanels::pack(const RowCodes& codes, long begin, long end, float factor, int n_threads) {
  n_tiles_ = static_cast<int>(divide_up(end - begin, width_));
  const long tiles_per_item = divide_up(kRowsPerItem, width_);
  parallel_for(divide_up(n_tiles_, tiles_per_item), n_threads, [&](long item) {
    for (long tile = item * tiles_per_item; tile < std::min<long>(n_tiles_, (item + 1) * tiles_per_item); tile++) {
      const long first = tile * width_, n_rows = std::min(width_, end - begin - first);
      for (long r = first; r < first + n_rows; r++) {
        steps_[r] = codes[begin + r].step * factor;
        sums_[r] = codes[begin + r].sum;
      }
      kernels().pack_codes(codes.codes(begin + first), static_cast<int>(n_rows), n_words(), static_cast<int>(width_),
                           side_ == Side::kLeft, words_.data() + first * n_words_);
    }
  });
}

double coding_ratio(const Operand& operand) {
  RowCodes codes(operand, 1);
  double square = 0, squared_error = 0;
  const long n = std::min(operand.n(), kSampledRows);
  for (long s = 0; s < n; s++) {
    const long row = s * operand.n() / n;
    codes.encode(row, row + 1, 1);
    squared_error += codes[row].squared_error;
    square += operand.square(row);
  }
  const double ratio = std::sqrt(squared_error / square);
  return std::isfinite(ratio) ? std::max(ratio, 0x1p-20) : 0x1p-8;
}

double NarrowedBound::operator()(long i, long j) {
  if (row_ != i) values_ = rows_.values(i, scratch_), row_ = i;
  const double product = codes_[j].step * rows_.product_with_codes(i, values_, codes_.codes(j));
  return bound_.narrowed(rows_.square(i), rows_.square(j), codes_[j].squared_error, product);
}

}  // namespace engine
