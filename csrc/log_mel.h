// The log-mel front end: options -> plan; waveform -> frames -> window -> FFT -> power -> mel -> log -> normalised.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "fft_plan.h"
#include "frames.h"
#include "frames_scratch.h"
#include "kernels.h"
#include "mel.h"
#include "window.h"

namespace engine {

// kCenter: frame t is centred on sample t * hop; kCenterTrimmed: the same without the last frame. kValid: only whole
// windows. kMirror: Kaldi's snip_edges=false.
enum class Framing { kCenter, kCenterTrimmed, kValid, kMirror };
enum class LogKind { kLn, kLog10, kDecibel };

// The fields of engine.FrontendConfig, which documents them; lengths in samples, frequencies in Hz.
struct LogMelOptions {
  int sample_rate = 16000;
  int win_length = 400, hop_length = 160, n_fft = 512, n_mels = 64;
  double f_min = 0.0, f_max = 8000.0;
  Window window = Window::kHann;
  bool window_periodic = true;
  std::vector<double> window_values;  // overrides `window` when not empty
  Framing framing = Framing::kCenter;
  bool pad_reflect = true;  // kCenter, kCenterTrimmed: reflect, or zeros
  double preemphasis = 0.0;
  bool preemphasis_of_clip = false;  // of the whole input, before frames are cut
  bool remove_dc = false, remove_clip_mean = false;
  double input_scale = 1.0;
  bool magnitude = false;
  MelScale mel_scale = MelScale::kHtk;
  MelNorm mel_norm = MelNorm::kNone;
  LogKind log = LogKind::kLn;
  double log_floor = 1e-10, log_offset = 0.0, log_reference = 1.0;
  bool log_reference_max = false;
  double log_range = 0.0;         // 0: unlimited
  std::vector<double> mean, std;  // empty, or n_mels values
  bool zscore = false;
};

// Validates and precomputes once; every compute call is const, may run from many threads at once, and allocates nothing
// after the first calls.
class LogMelPlan {
 public:
  // Throws std::invalid_argument for lengths outside their range or vectors of the wrong size.
  explicit LogMelPlan(const LogMelOptions& options);
  LogMelPlan(const LogMelPlan&) = delete;
  LogMelPlan& operator=(const LogMelPlan&) = delete;

  int n_mels() const { return options_.n_mels; }
  int n_bins() const { return fft_.tables().n_bins; }
  const LogMelOptions& options() const { return options_; }
  const std::vector<MelFilter>& filters() const { return filters_; }

  // Frames that n samples give; 0 samples give none.
  long n_frames(long n) const;
  // Length of the signal that frames are cut from: of n samples, one less where the whole input is pre-emphasised.
  long signal_length(long n) const { return options_.preemphasis_of_clip && n > 0 ? n - 1 : n; }
  // Sample at which frame 0 starts; negative where the framing reaches before the signal.
  long first_sample() const;
  // True when frames are cut from a changed copy of the input.
  bool changes_signal() const { return options_.remove_clip_mean || options_.preemphasis_of_clip; }
  // True when frames cannot be given out before the whole input is known.
  bool needs_whole_input() const;

  // `count` frames, the first of which starts at sample `first` of x[0 .. n), before finish(); out: count x n_mels.
  // False when a value is not a finite number (the input has NaN or infinity, or samples whose square overflows); `out`
  // then holds no meaning. Frames may reach beyond the signal, which must not be empty.
  bool frames_at(const float* x, long n, long first, long count, float* out) const;
  // The steps that need the whole input: reference "max", range, and the normalisation that follows them. Does nothing
  // where the options ask for none.
  void finish(float* out, long n_frames) const;
  // What frames are cut from: x itself, or, where the options change the whole input, `changed` filled with x without
  // its mean and pre-emphasised.
  const float* signal(const float* x, long n, std::vector<float>& changed) const;

  // Whole inputs on up to n_threads threads: clip i has lengths[i] samples and gets n_frames(lengths[i]) x n_mels
  // values. Returns the index of the first clip with a value that is not a finite number, or -1.
  long compute(const float* const* clips, const long* lengths, long n_clips, float* const* outs, int n_threads) const;

  // n_frames(n) x n_bins powers or magnitudes of the windowed frames.
  void spectrogram(const float* x, long n, float* out) const;
  // n_frames(n) x n_bins (real, imaginary) pairs; phases count from the first sample of each window.
  void stft(const float* x, long n, float* out) const;

  // What the kernels read; they live as long as the plan.
  const ClipLayout& clip() const { return clip_; }
  const FrameTables& frames() const { return frames_; }
  const MelTables& mel() const { return mel_; }
  FrameScratchPool& scratch() const { return *scratch_; }

 private:
  void prepare_frames();
  void prepare_mel();
  bool finishes() const;  // finish() has something to do

  LogMelOptions options_;
  const Kernels& kernels_;
  FftPlan fft_;
  std::vector<float> window_, dc_window_;
  std::vector<MelFilter> filters_;
  std::vector<int> first_bin_, end_bin_;
  std::vector<const float*> weights_;
  std::vector<float> gain_, bias_;                // of the kernel: logarithm, and normalisation where nothing follows
  std::vector<float> finish_gain_, finish_bias_;  // of finish()
  ClipLayout clip_{};
  FrameTables frames_{};
  MelTables mel_{};
  std::unique_ptr<FrameScratchPool> scratch_;
};

}  // namespace engine
