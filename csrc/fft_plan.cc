#include "fft_plan.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <stdexcept>
#include <utility>

namespace engine {
namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr int kLargestByDefinition = 19;  // measured: at 23 Bluestein's algorithm is as fast, from 29 on faster

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

// The transform of `x`, whose length is a power of two, by halves.
std::vector<std::complex<double>> transformed(const std::vector<std::complex<double>>& x) {
  const size_t n = x.size(), half = n / 2;
  if (n == 1) return x;
  std::vector<std::complex<double>> even(half), odd(half), result(n);
  for (size_t i = 0; i < half; i++) {
    even[i] = x[2 * i];
    odd[i] = x[2 * i + 1];
  }
  even = transformed(even);
  odd = transformed(odd);
  for (size_t k = 0; k < half; k++) {
    const auto turned = odd[k] * std::polar(1.0, -2.0 * kPi * static_cast<double>(k) / static_cast<double>(n));
    result[k] = even[k] + turned;
    result[k + half] = even[k] - turned;
  }
  return result;
}

std::vector<float> pairs(const std::vector<std::complex<double>>& values) {
  std::vector<float> result;
  for (const auto& value : values) {
    result.push_back(static_cast<float>(value.real()));
    result.push_back(static_cast<float>(value.imag()));
  }
  return result;
}

}  // namespace

struct FftPlan::Chirp {
  FftPlan convolution;
  ChirpTables tables;
};

FftPlan::~FftPlan() = default;

FftPlan::FftPlan(int real_length, bool wide_registers) {
  if (real_length < 1 || real_length > 8192) throw std::invalid_argument("expected a transform length from 1 to 8192");
  FftTables& t = tables_;
  t.real_length = real_length;
  t.packed = real_length % 2 == 0;
  t.size = t.packed ? real_length / 2 : real_length;
  t.n_bins = real_length / 2 + 1;
  plan_passes(radices(t.size, t.packed, wide_registers), wide_registers);
  if (t.packed) {
    std::vector<float> split;
    for (int k = 0; k <= t.size / 2; k++) push_root(split, k, real_length);
    t.split = keep(std::move(split));
  }
}

FftPlan::FftPlan(ComplexLength size, bool wide_registers) {
  tables_.size = size.value;
  plan_passes(radices(size.value, true, wide_registers), wide_registers);
}

const float* FftPlan::keep(std::vector<float> constants) {
  constants_.push_back(std::move(constants));
  return constants_.back().data();
}

void FftPlan::plan_passes(const std::vector<int>& radices, bool wide_registers) {
  FftTables& t = tables_;
  int length = t.size;
  for (const int radix : radices) {
    std::vector<float> twiddles, roots;
    for (int n = 0; n < length / radix; n++)
      for (int k = 1; k < radix; k++) push_root(twiddles, static_cast<double>(n) * k, length);
    for (int j = 0; j < radix; j++) push_root(roots, j, radix);
    const ChirpTables* chirp = radix > kLargestByDefinition ? plan_chirp(radix, wide_registers) : nullptr;
    t.stages[t.n_stages++] = {radix, length, keep(std::move(twiddles)), keep(std::move(roots)), chirp};
    t.scratch = std::max(t.scratch, chirp == nullptr ? radix : 2 * chirp->convolution.size);
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
}

const ChirpTables* FftPlan::plan_chirp(int prime, bool wide_registers) {
  int size = 1;
  while (size < 2 * prime - 1) size *= 2;
  std::vector<std::complex<double>> chirp, repeated(size);
  for (long n = 0; n < prime; n++) {
    const long turn = n * n % (2L * prime);  // n^2 itself would cost digits
    chirp.push_back(std::polar(1.0, -kPi * static_cast<double>(turn) / prime));
    repeated[n] = repeated[(size - n) % size] = std::conj(chirp.back()) / static_cast<double>(size);
  }
  chirps_.push_back(std::unique_ptr<Chirp>(new Chirp{FftPlan(ComplexLength{size}, wide_registers), {}}));
  ChirpTables& tables = chirps_.back()->tables;
  tables = {chirps_.back()->convolution.tables(), keep(pairs(chirp)), keep(pairs(transformed(repeated)))};
  return &tables;
}

}  // namespace engine
