#include "log_mel.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <stdexcept>

#include "parallel.h"

namespace engine {
namespace {

constexpr long kAlignment = 64;       // bytes: a cache line, and the widest register
constexpr long kFramesPerPart = 512;  // a clip is split over threads in parts no shorter than this

long round_up(long n, long multiple) { return (n + multiple - 1) / multiple * multiple; }

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

// What one thread computes in. Plans keep those that are free, for the next call.
struct LogMelPlan::Workspace {
  FrameScratch scratch{};
  void* memory = nullptr;

  Workspace(const FrameTables& t, int n_mels, const Kernels& k) {
    const long lanes = k.lanes, rows = std::max<long>(std::min(t.hop_length, t.win_length), lanes);
    scratch.n_columns = k.frames_per_chunk + round_up((t.win_length - 1) / t.hop_length, lanes);
    scratch.stride = scratch.n_columns + 16;  // not a power of two: rows spread over the cache's sets
    const long sizes[] = {
        rows * scratch.stride,    lanes * rows,   2 * (t.fft.size + t.fft.max_radix) * lanes,
        2 * t.fft.n_bins * lanes, n_mels * lanes,
    };
    float** const parts[] = {&scratch.columns, &scratch.edge, &scratch.spectrum, &scratch.power, &scratch.bands};
    long total = 0;
    for (const long size : sizes) total += round_up(size * sizeof(float), kAlignment);
    memory = std::aligned_alloc(kAlignment, total);
    if (memory == nullptr) throw std::bad_alloc();
    std::memset(memory, 0, total);
    char* at = static_cast<char*>(memory);
    for (int i = 0; i < 5; i++) {
      *parts[i] = reinterpret_cast<float*>(at);
      at += round_up(sizes[i] * sizeof(float), kAlignment);
    }
  }
  ~Workspace() { std::free(memory); }
};

// Borrows a workspace for one call. Slots are taken and given back by atomic exchange: no lock that a fork could leave
// held in the child.
class LogMelPlan::Lease {
 public:
  explicit Lease(const LogMelPlan& plan) : plan_(plan) {
    for (auto& slot : plan_.workspaces_) {
      workspace_ = slot.exchange(nullptr);
      if (workspace_ != nullptr) return;
    }
    workspace_ = new Workspace(plan_.frames_, plan_.options_.n_mels, plan_.kernels_);
  }
  ~Lease() {
    for (auto& slot : plan_.workspaces_) {
      Workspace* empty = nullptr;
      if (slot.compare_exchange_strong(empty, workspace_)) return;
    }
    delete workspace_;
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  const FrameScratch& scratch() const { return workspace_->scratch; }

 private:
  const LogMelPlan& plan_;
  Workspace* workspace_;
};

LogMelPlan::LogMelPlan(const LogMelOptions& options)
    : options_((check(options), options)), kernels_(kernels()), fft_(options.n_fft, kernels_.wide_registers) {
  for (auto& slot : workspaces_) slot = nullptr;
  prepare_frames();
  prepare_mel();
}

LogMelPlan::~LogMelPlan() {
  for (auto& slot : workspaces_) delete slot.load();
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

  frames_.win_length = o.win_length;
  frames_.hop_length = o.hop_length;
  frames_.padding = Padding::kZeros;
  if (o.framing == Framing::kMirror) frames_.padding = Padding::kMirror;
  const bool centred = o.framing == Framing::kCenter || o.framing == Framing::kCenterTrimmed;
  if (centred && o.pad_reflect) frames_.padding = Padding::kReflect;
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
  const Lease lease(*this);
  return kernels_.log_mel(frames_, mel_, lease.scratch(), x, n, first, count, out);
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
  struct Part {
    long clip, begin, end;
  };
  std::vector<std::vector<float>> changed(n_clips);
  std::vector<const float*> signals(clips, clips + n_clips);
  if (changes_signal())
    parallel_for(n_clips, n_threads, [&](long c) { signals[c] = signal(clips[c], lengths[c], changed[c]); });
  std::vector<Part> parts;
  const long parts_per_clip = n_clips > 0 && n_clips < n_threads ? (n_threads + n_clips - 1) / n_clips : 1;
  for (long c = 0; c < n_clips; c++) {
    const long total = n_frames(lengths[c]);
    const long size = std::max((total + parts_per_clip - 1) / parts_per_clip, kFramesPerPart);
    for (long begin = 0; begin < total; begin += size) parts.push_back({c, begin, std::min(begin + size, total)});
  }

  std::vector<char> finite(parts.size(), 1);
  parallel_for(static_cast<long>(parts.size()), n_threads, [&](long p) {
    const Part& part = parts[p];
    float* out = outs[part.clip] + part.begin * options_.n_mels;
    const long first = first_sample() + part.begin * options_.hop_length;
    finite[p] = frames_at(signals[part.clip], signal_length(lengths[part.clip]), first, part.end - part.begin, out);
    const long total = n_frames(lengths[part.clip]);
    if (part.begin == 0 && part.end == total) finish(out, total);  // while it is in the cache
  });
  for (size_t p = 0; p < parts.size(); p++) {
    const Part& part = parts[p];
    if (!finite[p]) return part.clip;
    const long total = n_frames(lengths[part.clip]);
    if (part.begin > 0 && part.end == total) finish(outs[part.clip], total);
  }
  return -1;
}

void LogMelPlan::spectrogram(const float* x, long n, float* out) const {
  if (n_frames(n) == 0) return;
  const Lease lease(*this);
  std::vector<float> changed;
  kernels_.spectrogram(frames_, options_.magnitude, lease.scratch(), signal(x, n, changed), signal_length(n),
                       first_sample(), n_frames(n), out);
}

void LogMelPlan::stft(const float* x, long n, float* out) const {
  if (n_frames(n) == 0) return;
  const Lease lease(*this);
  std::vector<float> changed;
  kernels_.stft(frames_, lease.scratch(), signal(x, n, changed), signal_length(n), first_sample(), n_frames(n), out);
}

}  // namespace engine
