// Mel filter banks: triangles over the bins of a spectrum, kept sparse.
#pragma once

#include <vector>

namespace engine {

// kHtk:    mel = 2595 log10(1 + f / 700), triangles linear in Hz (torchaudio; librosa with htk=True).
// kSlaney: mel linear up to 1 kHz (200/3 Hz each), then logarithmic (27 per factor 6.4), triangles linear in Hz
// (librosa). kKaldi:  mel = 1127 ln(1 + f / 700), triangles linear in mel (Kaldi; also VGGish and YAMNet).
enum class MelScale { kHtk, kSlaney, kKaldi };

// kNone: peaks of height 1. kSlaney: each filter times 2 / (its width in Hz), so that areas are equal.
enum class MelNorm { kNone, kSlaney };

struct MelFilter {
  int first_bin = 0;
  std::vector<float> weights;  // of bins first_bin, first_bin + 1, ...; empty when no bin lies inside the triangle
};

// n_mels filters whose edges lie evenly on the mel scale from f_min to f_max (Hz), for the n_fft / 2 + 1 bins of a
// transform of n_fft samples at sample_rate. Computed in double.
std::vector<MelFilter> make_mel_filters(MelScale scale, MelNorm norm, int n_mels, double f_min, double f_max,
                                        double sample_rate, int n_fft);

}  // namespace engine
