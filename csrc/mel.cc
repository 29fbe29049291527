#include "mel.h"

#include <algorithm>
#include <cmath>

namespace engine {
namespace {

constexpr double kSlaneyBreak = 1000.0;  // Hz: linear below, logarithmic above
constexpr double kSlaneyHzPerMel = 200.0 / 3.0;
const double kSlaneyLogStep = std::log(6.4) / 27.0;

double hz_to_mel(MelScale scale, double hz) {
  switch (scale) {
    case MelScale::kHtk: return 2595.0 * std::log10(1.0 + hz / 700.0);
    case MelScale::kKaldi: return 1127.0 * std::log(1.0 + hz / 700.0);
    case MelScale::kSlaney: break;
  }
  if (hz < kSlaneyBreak) return hz / kSlaneyHzPerMel;
  return kSlaneyBreak / kSlaneyHzPerMel + std::log(hz / kSlaneyBreak) / kSlaneyLogStep;
}

double mel_to_hz(MelScale scale, double mel) {
  switch (scale) {
    case MelScale::kHtk: return 700.0 * (std::pow(10.0, mel / 2595.0) - 1.0);
    case MelScale::kKaldi: return 700.0 * (std::exp(mel / 1127.0) - 1.0);
    case MelScale::kSlaney: break;
  }
  const double break_mel = kSlaneyBreak / kSlaneyHzPerMel;
  if (mel < break_mel) return mel * kSlaneyHzPerMel;
  return kSlaneyBreak * std::exp(kSlaneyLogStep * (mel - break_mel));
}

}  // namespace

std::vector<MelFilter> make_mel_filters(MelScale scale, MelNorm norm, int n_mels, double f_min, double f_max,
                                        double sample_rate, int n_fft) {
  const double low = hz_to_mel(scale, f_min), high = hz_to_mel(scale, f_max);
  const bool linear_in_mel = scale == MelScale::kKaldi;
  std::vector<double> edges(n_mels + 2), edges_hz(n_mels + 2);
  for (int i = 0; i < n_mels + 2; i++) {
    const double mel = low + (high - low) * i / (n_mels + 1);
    edges_hz[i] = mel_to_hz(scale, mel);
    edges[i] = linear_in_mel ? mel : edges_hz[i];
  }
  std::vector<MelFilter> filters(n_mels);
  for (int m = 0; m < n_mels; m++) {
    const double left = edges[m], centre = edges[m + 1], right = edges[m + 2];
    const double height = norm == MelNorm::kSlaney ? 2.0 / (edges_hz[m + 2] - edges_hz[m]) : 1.0;
    MelFilter& filter = filters[m];
    for (int bin = 0; bin <= n_fft / 2; bin++) {
      const double hz = sample_rate * bin / n_fft, at = linear_in_mel ? hz_to_mel(scale, hz) : hz;
      const double weight = height * std::min((at - left) / (centre - left), (right - at) / (right - centre));
      if (weight <= 0.0) {
        if (filter.weights.empty()) continue;
        break;
      }
      if (filter.weights.empty()) filter.first_bin = bin;
      filter.weights.push_back(static_cast<float>(weight));
    }
  }
  return filters;
}

}  // namespace engine
