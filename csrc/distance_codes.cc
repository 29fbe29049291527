#include "distance_codes.h"

#include <algorithm>
#include <cmath>

#include "parallel.h"

namespace engine {
namespace {

constexpr long kSampledRows = 64;

long divide_up(long n, long by) { return (n + by - 1) / by; }

// Codes of a row before they are packed: whole vectors of them.
long code_stride(long d) { return divide_up(d, 64) * 64; }

}  // namespace

EncodedRows::EncodedRows(Side side, long n_rows, long d, float factor)
    : side_(side),
      width_(side == Side::kLeft ? kernels().tile_rows : kernels().tile_columns),
      n_words_(divide_up(d, 4)),
      factor_(factor),
      panels_(divide_up(n_rows, width_) * width_ * n_words_),
      steps_(divide_up(n_rows, width_) * width_),
      sums_(steps_.size()),
      squared_errors_(steps_.size()) {}

void EncodedRows::encode(const Operand& operand, long begin, long end, int n_threads) {
  n_tiles_ = static_cast<int>(divide_up(end - begin, width_));
  const long tiles_per_item = divide_up(256, width_);
  parallel_for(divide_up(n_tiles_, tiles_per_item), n_threads, [&](long item) {
    const long stride = code_stride(operand.d());
    std::vector<int8_t> codes(width_ * stride);
    std::vector<float> scratch;
    for (long tile = item * tiles_per_item; tile < std::min<long>(n_tiles_, (item + 1) * tiles_per_item); tile++) {
      const long first = tile * width_, n_rows = std::min(width_, end - begin - first);
      for (long r = 0; r < n_rows; r++) {
        const EncodedRow row = operand.encode(begin + first + r, scratch, codes.data() + r * stride);
        steps_[first + r] = row.step * factor_;
        sums_[first + r] = row.sum;
        squared_errors_[first + r] = row.squared_error;
      }
      kernels().pack_codes(codes.data(), static_cast<int>(n_rows), n_words(), static_cast<int>(width_),
                           side_ == Side::kLeft, panels_.data() + first * n_words_);
    }
  });
}

double coding_ratio(const Operand& operand) {
  std::vector<int8_t> codes(code_stride(operand.d()));
  std::vector<float> scratch;
  double square = 0, squared_error = 0;
  const long n = std::min(operand.n(), kSampledRows);
  for (long s = 0; s < n; s++) {
    const long row = s * operand.n() / n;
    squared_error += operand.encode(row, scratch, codes.data()).squared_error;
    square += operand.square(row);
  }
  const double ratio = std::sqrt(squared_error / square);
  return std::isfinite(ratio) ? std::max(ratio, 0x1p-20) : 0x1p-8;
}

}  // namespace engine
