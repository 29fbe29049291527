#include "c_api.h"

#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#include "distance.h"
#include "kernels.h"
#include "log_mel.h"

struct engine_log_mel {
  explicit engine_log_mel(const engine::LogMelOptions& options) : plan(options) {}
  engine::LogMelPlan plan;
};

namespace {

thread_local std::string last_error;

// Runs `body` and turns an exception into last_error and `failure`: none may cross into C.
template <class Result, class Body>
Result guarded(Result failure, Body body) {
  try {
    return body();
  } catch (const std::exception& error) {
    last_error = error.what();
  } catch (...) {
    last_error = "an unknown error";
  }
  return failure;
}

template <class Value>
Value choice(int value, int count, const char* message) {
  if (value < 0 || value >= count) throw std::invalid_argument(message);
  return static_cast<Value>(value);
}

std::vector<double> copied(const double* values, int n) {
  return values == nullptr ? std::vector<double>() : std::vector<double>(values, values + (n > 0 ? n : 0));
}

engine::LogMelOptions options_from(const engine_log_mel_options& c) {
  engine::LogMelOptions o;
  o.sample_rate = c.sample_rate;
  o.win_length = c.win_length;
  o.hop_length = c.hop_length;
  o.n_fft = c.n_fft;
  o.n_mels = c.n_mels;
  o.f_min = c.f_min;
  o.f_max = c.f_max;
  o.window = choice<engine::Window>(c.window, 5, "expected a window of enum engine_window, got another number");
  o.window_periodic = c.window_periodic != 0;
  o.window_values = copied(c.window_values, c.win_length);
  o.framing = choice<engine::Framing>(c.framing, 4, "expected a framing of enum engine_framing, got another number");
  o.pad_reflect = c.pad_reflect != 0;
  o.preemphasis = c.preemphasis;
  o.preemphasis_of_clip = c.preemphasis_of_clip != 0;
  o.remove_dc = c.remove_dc != 0;
  o.remove_clip_mean = c.remove_clip_mean != 0;
  o.input_scale = c.input_scale;
  o.magnitude = c.magnitude != 0;
  o.mel_scale =
      choice<engine::MelScale>(c.mel_scale, 3, "expected a scale of enum engine_mel_scale, got another number");
  o.mel_norm = choice<engine::MelNorm>(c.mel_norm, 2, "expected a norm of enum engine_mel_norm, got another number");
  o.log = choice<engine::LogKind>(c.log, 3, "expected a logarithm of enum engine_log, got another number");
  o.log_floor = c.log_floor;
  o.log_offset = c.log_offset;
  o.log_reference = c.log_reference;
  o.log_reference_max = c.log_reference_max != 0;
  o.log_range = c.log_range;
  o.mean = copied(c.mean, c.n_mels);
  o.std = copied(c.std, c.n_mels);
  o.zscore = c.zscore != 0;
  return o;
}

}  // namespace

int engine_abi_version(void) { return ENGINE_ABI_VERSION; }

const char* engine_isa(void) {
  return guarded<const char*>(nullptr, [] { return engine::kernels().name; });
}

const char* engine_last_error(void) { return last_error.c_str(); }

void engine_log_mel_defaults(engine_log_mel_options* options) {
  const engine::LogMelOptions o;
  *options = engine_log_mel_options{};
  options->sample_rate = o.sample_rate;
  options->win_length = o.win_length;
  options->hop_length = o.hop_length;
  options->n_fft = o.n_fft;
  options->n_mels = o.n_mels;
  options->f_min = o.f_min;
  options->f_max = o.f_max;
  options->window_periodic = o.window_periodic;
  options->pad_reflect = o.pad_reflect;
  options->input_scale = o.input_scale;
  options->log_floor = o.log_floor;
  options->log_reference = o.log_reference;
}

engine_log_mel* engine_log_mel_create(const engine_log_mel_options* options) {
  return guarded<engine_log_mel*>(nullptr, [&] { return new engine_log_mel(options_from(*options)); });
}

void engine_log_mel_destroy(engine_log_mel* front_end) { delete front_end; }

int64_t engine_log_mel_frames(const engine_log_mel* front_end, int64_t n_samples) {
  return front_end->plan.n_frames(static_cast<long>(n_samples));
}

int engine_log_mel_compute(const engine_log_mel* front_end, const float* samples, int64_t n_samples, float* out,
                           int n_threads) {
  return guarded(-1, [&] {
    const long n = static_cast<long>(n_samples);
    if (front_end->plan.compute(&samples, &n, 1, &out, n_threads) < 0) return 0;
    throw std::invalid_argument(
        "expected finite samples whose square fits a float, got others; clean or scale the signal");
  });
}

int engine_top_k(const float* queries, int64_t n_queries, const float* database, int64_t n_rows, int64_t dimension,
                 int64_t k, int metric, int n_threads, int64_t* indices, double* distances) {
  return guarded(-1, [&] {
    if (n_queries < 0 || n_rows < 0 || dimension < 0 || k < 0)
      throw std::invalid_argument("expected sizes of 0 or more, got a negative one");
    const auto as_long = [](int64_t value) { return static_cast<long>(value); };
    const engine::Rows q = {"queries", queries, as_long(n_queries), as_long(dimension), as_long(dimension), false};
    const engine::Rows db = {"database", database, as_long(n_rows), as_long(dimension), as_long(dimension), false};
    const auto kind = choice<engine::Metric>(metric, 4, "expected a metric of enum engine_metric, got another number");
    engine::top_k(q, db, as_long(k), kind, {}, n_threads, indices, distances);
    return 0;
  });
}
