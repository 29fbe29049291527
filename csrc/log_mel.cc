#include "log_mel.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "log_mel_group.h"

namespace engine {
namespace {

std::vector<float> to_float(const std::vector<double>& values) { return {values.begin(), values.end()}; }

void check(const LogMelOptions& o) {
  const auto require = [](bool ok, const char* message) {
    if (!ok) throw std::invalid_argument(message);
  };
  require(o.n_fft >= 16 && o.n_fft <= 8192, "expected n_fft from 16 to 8192");
  require(o.win_length >= 1 && o.win_length <= o.n_fft, "expected win_length from 1 to n_fft");
  require(o.hop_length >= 1 && o.hop_length <= 1 << 20, "expected hop_length from 1 to 1048576");
  require(o.n_mels >= 1 && o.n_mels <= 8192, "expected n_mels from 1 to 8192");
  require(o.sample_rate >= 1, "expected a positive sample_rate");
  require(o.f_min >= 0 && o.f_min < o.f_max && o.f_max <= o.sample_rate / 2.0,
          "expected 0 <= f_min < f_max <= sample_rate / 2");
  require(o.log_floor >= 0 && o.log_offset >= 0 && o.log_floor + o.log_offset >= std::numeric_limits<float>::min(),
          "expected log_floor + log_offset of at least 1.2e-38");
  require(o.log_reference > 0, "expected a positive log_reference");
  const auto fits = [](size_t size, int n) { return size == 0 || size == static_cast<size_t>(n); };
  require(fits(o.window_values.size(), o.win_length), "expected win_length window values");
  require(fits(o.mean.size(), o.n_mels) && o.mean.size() == o.std.size(), "expected n_mels values of mean and of std");
}

}  // namespace

LogMelPlan::LogMelPlan(const LogMelOptions& options)
    : options_((check(options), options)), kernels_(kernels()), fft_(options.n_fft, kernels_.wide_registers) {
  prepare_frames();
  prepare_mel();
  const FrameScratchSize size(clip_, frames_, options_.n_mels, kernels_);
  scratch_ = std::make_unique<FrameScratchPool>(size, kernels_);
}

void LogMelPlan::prepare_frames() {
  const LogMelOptions& o = options_;
  std::vector<double> window =
      o.window_values.empty() ? make_window(o.window, o.win_length, o.window_periodic) : o.window_values;
  // The 1/2 of the packed transform's untangling step is folded into the window.
  const double factor = o.input_scale * (fft_.tables().packed ? 0.5 : 1.0);
  for (double& w : window) w *= factor;
  window_ = to_float(window);
  const double preemphasis = o.preemphasis_of_clip ? 0.0 : o.preemphasis;
  for (double& w : window) w *= 1.0 - preemphasis;
  dc_window_ = to_float(window);

  const bool centred = o.framing == Framing::kCenter || o.framing == Framing::kCenterTrimmed;
  clip_ = {o.hop_length, o.win_length, Padding::kZeros};
  if (o.framing == Framing::kMirror) clip_.padding = Padding::kMirror;
  if (centred && o.pad_reflect) clip_.padding = Padding::kReflect;
  frames_.win_length = o.win_length;
  frames_.hop_length = o.hop_length;
  frames_.per_frame_filter = o.remove_dc || preemphasis != 0.0;
  frames_.remove_dc = o.remove_dc;
  frames_.preemphasis = static_cast<float>(preemphasis);
  frames_.window = window_.data();
  frames_.dc_window = dc_window_.data();
  frames_.fft = fft_.tables();
}

void LogMelPlan::prepare_mel() {
  const LogMelOptions& o = options_;
  filters_ = make_mel_filters(o.mel_scale, o.mel_norm, o.n_mels, o.f_min, o.f_max, o.sample_rate, o.n_fft);
  for (const MelFilter& filter : filters_) {
    first_bin_.push_back(filter.first_bin);
    end_bin_.push_back(filter.first_bin + static_cast<int>(filter.weights.size()));
    weights_.push_back(filter.weights.data());
  }

  double unit = 1.0;  // of the logarithm, per neper
  if (o.log == LogKind::kLog10) unit = 1.0 / std::log(10.0);
  if (o.log == LogKind::kDecibel) unit = (o.magnitude ? 20.0 : 10.0) / std::log(10.0);
  const double reference = o.log_reference_max ? 0.0 : unit * std::log(o.log_reference);
  for (int m = 0; m < o.n_mels; m++) {
    const double mean = o.mean.empty() ? 0.0 : o.mean[m], std = o.std.empty() ? 1.0 : o.std[m];
    const bool later = finishes();  // normalisation then belongs to finish()
    gain_.push_back(static_cast<float>(later ? unit : unit / std));
    bias_.push_back(static_cast<float>(later ? -reference : (-reference - mean) / std));
    finish_gain_.push_back(static_cast<float>(1.0 / std));
    finish_bias_.push_back(static_cast<float>(-mean / std));
  }

  mel_.n_mels = o.n_mels;
  mel_.magnitude = o.magnitude;
  mel_.first_bin = first_bin_.data();
  mel_.end_bin = end_bin_.data();
  mel_.weights = weights_.data();
  mel_.floor = static_cast<float>(o.log_floor);
  mel_.offset = static_cast<float>(o.log_offset);
  mel_.gain = gain_.data();
  mel_.bias = bias_.data();
}

bool LogMelPlan::finishes() const { return options_.log_reference_max || options_.log_range > 0 || options_.zscore; }

bool LogMelPlan::needs_whole_input() const { return finishes() || options_.remove_clip_mean; }

long LogMelPlan::n_frames(long n) const {
  const LogMelOptions& o = options_;
  n = signal_length(n);
  if (n <= 0) return 0;
  const long after_first = (n + 2 * (o.n_fft / 2) - o.n_fft) / o.hop_length;
  switch (o.framing) {
    case Framing::kCenter: return after_first + 1;
    case Framing::kCenterTrimmed: return after_first;
    case Framing::kMirror: return (n + o.hop_length / 2) / o.hop_length;
    case Framing::kValid: break;
  }
  return n < o.win_length ? 0 : 1 + (n - o.win_length) / o.hop_length;
}

long LogMelPlan::first_sample() const {
  const LogMelOptions& o = options_;
  switch (o.framing) {
    case Framing::kCenter:
    case Framing::kCenterTrimmed: return (o.n_fft - o.win_length) / 2 - o.n_fft / 2;
    case Framing::kMirror: return o.hop_length / 2 - o.win_length / 2;
    case Framing::kValid: break;
  }
  return 0;
}

const float* LogMelPlan::signal(const float* x, long n, std::vector<float>& changed) const {
  if (!changes_signal()) return x;
  changed.assign(x, x + n);
  if (options_.remove_clip_mean && n > 0) {
    double sum = 0.0;
    for (const float value : changed) sum += value;
    const float mean = static_cast<float>(sum / static_cast<double>(n));
    for (float& value : changed) value -= mean;
  }
  if (options_.preemphasis_of_clip) {
    const float factor = static_cast<float>(options_.preemphasis);
    for (long i = 0; i + 1 < n; i++) changed[i] = changed[i + 1] - factor * changed[i];
  }
  return changed.data();
}

bool LogMelPlan::frames_at(const float* x, long n, long first, long count, float* out) const {
  if (count <= 0) return true;
  const FrameScratchPool::Lease lease(*scratch_);
  const LogMelBranch branch{&frames_, &mel_, 0, false, count, out};
  return kernels_.log_mel(clip_, lease.scratch(), x, n, first, count, &branch, 1);
}

void LogMelPlan::finish(float* out, long n_frames) const {
  if (!finishes() || n_frames == 0) return;
  const LogMelOptions& o = options_;
  const long n = n_frames * o.n_mels;
  const float largest = kernels_.largest_value(out, n);
  const float shift = o.log_reference_max ? largest : 0.0f;
  const float lowest =
      o.log_range > 0 ? largest - shift - static_cast<float>(o.log_range) : -std::numeric_limits<float>::infinity();
  kernels_.limit_and_scale(out, n_frames, o.n_mels, shift, lowest, finish_gain_.data(), finish_bias_.data());
  if (!o.zscore) return;
  double sum = 0.0, squares = 0.0;
  for (long i = 0; i < n; i++) sum += out[i];
  const double mean = sum / n;
  for (long i = 0; i < n; i++) squares += (out[i] - mean) * (out[i] - mean);
  const double deviation = std::sqrt(squares / n);
  // A constant input (silence) has a deviation of rounding errors only: it becomes zeros.
  const double scale = deviation > 1e-6 * (1.0 + std::fabs(mean)) ? 1.0 / deviation : 0.0;
  for (long i = 0; i < n; i++) out[i] = static_cast<float>((out[i] - mean) * scale);
}

long LogMelPlan::compute(const float* const* clips, const long* lengths, long n_clips, float* const* outs,
                         int n_threads) const {
  return compute_log_mel({LogMelGroup(*this, 0)}, clips, lengths, n_clips, &outs, n_threads);
}

void LogMelPlan::spectrogram(const float* x, long n, float* out) const {
  if (n_frames(n) == 0) return;
  const FrameScratchPool::Lease lease(*scratch_);
  std::vector<float> changed;
  kernels_.spectrogram(clip_, frames_, options_.magnitude, lease.scratch(), signal(x, n, changed), signal_length(n),
                       first_sample(), n_frames(n), out);
}

void LogMelPlan::stft(const float* x, long n, float* out) const {
  if (n_frames(n) == 0) return;
  const FrameScratchPool::Lease lease(*scratch_);
  std::vector<float> changed;
  kernels_.stft(clip_, frames_, lease.scratch(), signal(x, n, changed), signal_length(n), first_sample(), n_frames(n),
                out);
}

}  // namespace engine
