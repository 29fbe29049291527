#include "fft_plan.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace engine {
namespace {

constexpr double kPi = 3.14159265358979323846;

// Splits `size` into radices. Large primes first (they need the fewest twiddles there), powers of two last, where
// blocks are small and stay in the first-level cache. A factor 4 opens a packed transform: that pass is fused with the
// window.
std::vector<int> radices(int size, bool packed, bool wide_registers) {
  std::vector<int> first, odd, twos;
  if (packed && size % 4 == 0) {
    first.push_back(4);
    size /= 4;
  }
  int power = 0;
  for (; size % 2 == 0; size /= 2) power++;
  for (int p = 3; size > 1; p += 2)
    for (; size % p == 0; size /= p) odd.push_back(p);
  std::sort(odd.rbegin(), odd.rend());
  const int widest = wide_registers ? 3 : 2;
  const int remainder = power % widest;
  if (widest == 3 && remainder == 1 && power >= 4) {  // 16 = 4 * 4 costs less than 2 * 8
    twos = {4, 4};
    power -= 4;
  } else if (remainder != 0) {
    twos = {1 << remainder};
    power -= remainder;
  }
  for (; power > 0; power -= widest) twos.push_back(1 << widest);
  first.insert(first.end(), odd.begin(), odd.end());
  first.insert(first.end(), twos.begin(), twos.end());
  if (first.empty()) first.push_back(1);
  return first;
}

void push_root(std::vector<float>& table, double numerator, double denominator) {
  const double angle = -2.0 * kPi * numerator / denominator;
  table.push_back(static_cast<float>(std::cos(angle)));
  table.push_back(static_cast<float>(std::sin(angle)));
}

}  // namespace

FftPlan::FftPlan(int real_length, bool wide_registers) {
  if (real_length < 1 || real_length > 8192) throw std::invalid_argument("expected a transform length from 1 to 8192");
  FftTables& t = tables_;
  t.real_length = real_length;
  t.packed = real_length % 2 == 0;
  t.size = t.packed ? real_length / 2 : real_length;
  t.n_bins = real_length / 2 + 1;

  int length = t.size;
  for (const int radix : radices(t.size, t.packed, wide_registers)) {
    std::vector<float> twiddles, roots;
    for (int n = 0; n < length / radix; n++)
      for (int k = 1; k < radix; k++) push_root(twiddles, static_cast<double>(n) * k, length);
    for (int j = 0; j < radix; j++) push_root(roots, j, radix);
    constants_.push_back(std::move(twiddles));
    constants_.push_back(std::move(roots));
    t.stages[t.n_stages++] = {radix, length, constants_[constants_.size() - 2].data(), constants_.back().data()};
    t.max_radix = std::max(t.max_radix, radix);
    length /= radix;
  }

  // A pass of radix R over a block of length L sends frequency f to sub-block f mod R, as its frequency f / R.
  position_.resize(t.size);
  for (int f = 0; f < t.size; f++) {
    int rest = f, place = 0;
    for (int s = 0; s < t.n_stages; s++) {
      place += rest % t.stages[s].radix * (t.stages[s].length / t.stages[s].radix);
      rest /= t.stages[s].radix;
    }
    position_[f] = place;
  }
  t.position = position_.data();

  if (t.packed) {
    std::vector<float> split;
    for (int k = 0; k <= t.size / 2; k++) push_root(split, k, real_length);
    constants_.push_back(std::move(split));
    t.split = constants_.back().data();
  }
}

}  // namespace engine
