// LogMelPlan for Python; engine.frontend is the wrapper users call.
#include "bindings.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <atomic>
#include <complex>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "log_mel_stream.h"

namespace py = pybind11;

namespace {

using engine::LogMelOptions;
using engine::LogMelPlan;
using engine::LogMelStream;

using FloatArray = py::array_t<float, py::array::c_style>;

template <class Value>
Value choice(const char* field, const std::string& name, std::initializer_list<std::pair<const char*, Value>> values) {
  std::string known;
  for (const auto& [label, value] : values) {
    if (name == label) return value;
    known += (known.empty() ? "" : ", ") + std::string(label);
  }
  throw std::invalid_argument(std::string("expected ") + field + " to be one of " + known + ", got '" + name + "'");
}

using Windows = std::initializer_list<std::pair<const char*, engine::Window>>;
const Windows kWindows = {{"hann", engine::Window::kHann},
                          {"hamming", engine::Window::kHamming},
                          {"povey", engine::Window::kPovey},
                          {"blackman", engine::Window::kBlackman},
                          {"rectangular", engine::Window::kRectangular}};

LogMelOptions options_from(const py::kwargs& settings) {
  LogMelOptions o;
  using Setter = std::function<void(py::handle)>;
  const auto number = [](auto& field) {
    return Setter([&field](py::handle v) { field = v.cast<std::decay_t<decltype(field)>>(); });
  };
  const auto named = [](const char* name, auto& field, auto values) {
    return Setter([=, &field](py::handle v) { field = choice(name, v.cast<std::string>(), values); });
  };
  using engine::Framing, engine::LogKind, engine::MelNorm, engine::MelScale;
  static const std::initializer_list<std::pair<const char*, Framing>> framings = {
      {"center", Framing::kCenter},
      {"center_trimmed", Framing::kCenterTrimmed},
      {"valid", Framing::kValid},
      {"mirror", Framing::kMirror}};
  static const std::initializer_list<std::pair<const char*, MelScale>> scales = {
      {"htk", MelScale::kHtk}, {"slaney", MelScale::kSlaney}, {"kaldi", MelScale::kKaldi}};
  static const std::initializer_list<std::pair<const char*, MelNorm>> norms = {{"none", MelNorm::kNone},
                                                                               {"slaney", MelNorm::kSlaney}};
  static const std::initializer_list<std::pair<const char*, LogKind>> logs = {
      {"ln", LogKind::kLn}, {"log10", LogKind::kLog10}, {"dB", LogKind::kDecibel}};
  static const std::initializer_list<std::pair<const char*, bool>> pads = {{"reflect", true}, {"constant", false}};
  static const std::initializer_list<std::pair<const char*, bool>> scopes = {{"frame", false}, {"clip", true}};
  static const std::initializer_list<std::pair<const char*, bool>> spectra = {{"power", false}, {"magnitude", true}};
  const std::vector<std::pair<std::string, Setter>> setters = {
      {"sample_rate", number(o.sample_rate)},
      {"win_length", number(o.win_length)},
      {"hop_length", number(o.hop_length)},
      {"n_fft", number(o.n_fft)},
      {"n_mels", number(o.n_mels)},
      {"f_min", number(o.f_min)},
      {"f_max", number(o.f_max)},
      {"window", named("window", o.window, kWindows)},
      {"window_values", number(o.window_values)},
      {"window_periodic", number(o.window_periodic)},
      {"framing", named("framing", o.framing, framings)},
      {"pad_mode", named("pad_mode", o.pad_reflect, pads)},
      {"preemphasis", number(o.preemphasis)},
      {"preemphasis_scope", named("preemphasis_scope", o.preemphasis_of_clip, scopes)},
      {"remove_dc", number(o.remove_dc)},
      {"remove_clip_mean", number(o.remove_clip_mean)},
      {"input_scale", number(o.input_scale)},
      {"spectrum", named("spectrum", o.magnitude, spectra)},
      {"mel_scale", named("mel_scale", o.mel_scale, scales)},
      {"mel_norm", named("mel_norm", o.mel_norm, norms)},
      {"log", named("log", o.log, logs)},
      {"log_floor", number(o.log_floor)},
      {"log_offset", number(o.log_offset)},
      {"log_reference", number(o.log_reference)},
      {"log_reference_max", number(o.log_reference_max)},
      {"log_range", number(o.log_range)},
      {"mean", number(o.mean)},
      {"std", number(o.std)},
      {"zscore", number(o.zscore)},
  };
  for (const auto& [key, value] : settings) {
    const auto name = key.cast<std::string>();
    bool found = false;
    for (const auto& [known, set] : setters) {
      if (name != known) continue;
      set(value);
      found = true;
    }
    if (!found) throw std::invalid_argument("unknown front-end setting '" + name + "'");
  }
  return o;
}

void require(bool ok, const char* message) {
  if (!ok) throw std::invalid_argument(message);
}

// `out` if given and of this shape, else a new array.
FloatArray output(const std::optional<FloatArray>& out, const std::vector<py::ssize_t>& shape) {
  if (!out) return FloatArray(shape);
  bool fits = out->ndim() == static_cast<py::ssize_t>(shape.size()) && out->writeable();
  for (size_t i = 0; fits && i < shape.size(); i++) fits = out->shape(i) == shape[i];
  require(fits, "expected `out` to be a writeable float32 array of the result's shape");
  return *out;
}

// One clip (n,) or a batch of equal lengths (batch, n).
py::tuple log_mel(const LogMelPlan& plan, const FloatArray& x, const std::optional<FloatArray>& out, int threads) {
  require(x.ndim() == 1 || x.ndim() == 2, "expected a waveform of shape (n_samples,) or (batch, n_samples)");
  require(threads >= 1, "expected threads of at least 1");
  const bool batch = x.ndim() == 2;
  const long n_clips = batch ? x.shape(0) : 1, n = batch ? x.shape(1) : x.shape(0), n_frames = plan.n_frames(n);
  std::vector<py::ssize_t> shape = {n_frames, plan.n_mels()};
  if (batch) shape.insert(shape.begin(), n_clips);
  FloatArray result = output(out, shape);
  std::vector<const float*> clips(n_clips);
  std::vector<float*> outs(n_clips);
  for (long i = 0; i < n_clips; i++) {
    clips[i] = x.data() + i * n;
    outs[i] = result.mutable_data() + i * n_frames * plan.n_mels();
  }
  const std::vector<long> lengths(n_clips, n);
  long bad;
  {
    const py::gil_scoped_release release;
    bad = plan.compute(clips.data(), lengths.data(), n_clips, outs.data(), threads);
  }
  return py::make_tuple(result, bad);
}

py::tuple log_mel_many(const LogMelPlan& plan, const std::vector<FloatArray>& clips, int threads) {
  require(threads >= 1, "expected threads of at least 1");
  const size_t n_clips = clips.size();
  std::vector<FloatArray> results;
  std::vector<const float*> inputs(n_clips);
  std::vector<long> lengths(n_clips);
  std::vector<float*> outs(n_clips);
  for (size_t i = 0; i < n_clips; i++) {
    require(clips[i].ndim() == 1, "expected waveforms of shape (n_samples,)");
    inputs[i] = clips[i].data();
    lengths[i] = clips[i].shape(0);
    results.emplace_back(std::vector<py::ssize_t>{plan.n_frames(lengths[i]), plan.n_mels()});
    outs[i] = results.back().mutable_data();
  }
  long bad;
  {
    const py::gil_scoped_release release;
    bad = plan.compute(inputs.data(), lengths.data(), static_cast<long>(n_clips), outs.data(), threads);
  }
  return py::make_tuple(results, bad);
}

FloatArray spectrogram(const LogMelPlan& plan, const FloatArray& x) {
  require(x.ndim() == 1, "expected a waveform of shape (n_samples,)");
  FloatArray result({static_cast<py::ssize_t>(plan.n_frames(x.shape(0))), static_cast<py::ssize_t>(plan.n_bins())});
  float* out = result.mutable_data();
  const float* in = x.data();
  const long n = x.shape(0);
  const py::gil_scoped_release release;
  plan.spectrogram(in, n, out);
  return result;
}

py::array_t<std::complex<float>> stft(const LogMelPlan& plan, const FloatArray& x) {
  require(x.ndim() == 1, "expected a waveform of shape (n_samples,)");
  py::array_t<std::complex<float>> result(
      {static_cast<py::ssize_t>(plan.n_frames(x.shape(0))), static_cast<py::ssize_t>(plan.n_bins())});
  float* out = reinterpret_cast<float*>(result.mutable_data());
  const float* in = x.data();
  const long n = x.shape(0);
  const py::gil_scoped_release release;
  plan.stft(in, n, out);
  return result;
}

std::vector<int> empty_filters(const LogMelPlan& plan) {
  std::vector<int> empty;
  for (int m = 0; m < plan.n_mels(); m++)
    if (plan.filters()[m].weights.empty()) empty.push_back(m);
  return empty;
}

FloatArray filters(const LogMelPlan& plan) {
  FloatArray dense({static_cast<py::ssize_t>(plan.n_mels()), static_cast<py::ssize_t>(plan.n_bins())});
  dense[py::ellipsis()] = 0.0f;
  auto at = dense.mutable_unchecked<2>();
  for (int m = 0; m < plan.n_mels(); m++) {
    const engine::MelFilter& filter = plan.filters()[m];
    for (size_t i = 0; i < filter.weights.size(); i++) at(m, filter.first_bin + i) = filter.weights[i];
  }
  return dense;
}

// A stream with the plan that gives its output's width, and a flag against use from two threads at once.
struct GuardedStream {
  std::shared_ptr<const LogMelPlan> plan;
  LogMelStream stream;
  std::atomic_flag busy = ATOMIC_FLAG_INIT;

  explicit GuardedStream(std::shared_ptr<const LogMelPlan> p) : plan(p), stream(std::move(p)) {}

  // Makes an array of count() frames and lets compute(out) fill it, without the interpreter lock.
  template <class Count, class Compute>
  py::tuple frames(Count count, Compute compute) {
    if (busy.test_and_set()) throw std::runtime_error("expected one thread at a time to use a stream; make one each");
    const std::unique_ptr<std::atomic_flag, void (*)(std::atomic_flag*)> guard(&busy,
                                                                               [](auto* flag) { flag->clear(); });
    FloatArray result({static_cast<py::ssize_t>(count()), static_cast<py::ssize_t>(plan->n_mels())});
    float* out = result.mutable_data();
    bool finite;
    {
      const py::gil_scoped_release release;
      finite = compute(out);
    }
    return py::make_tuple(result, finite);
  }
};

}  // namespace

void bind_log_mel(py::module_& m) {
  m.def(
      "window",
      [](const std::string& name, int length, bool periodic) {
        require(length >= 1 && length <= 1 << 20, "expected a window of 1 to 1048576 samples");
        return engine::make_window(choice("window", name, kWindows), length, periodic);
      },
      py::arg("name"), py::arg("length"), py::arg("periodic"), "An analysis window: a list of `length` floats.");

  py::class_<LogMelPlan, std::shared_ptr<LogMelPlan>>(
      m, "LogMelPlan", "A log-mel front end, planned once. Safe to use from many threads.")
      .def(py::init([](const py::kwargs& settings) { return std::make_unique<LogMelPlan>(options_from(settings)); }),
           "Build a plan from the fields of engine.FrontendConfig.\n\n"
           "ValueError for unknown fields and values out of range.")
      .def_property_readonly("n_mels", &LogMelPlan::n_mels)
      .def_property_readonly("n_bins", &LogMelPlan::n_bins)
      .def_property_readonly("empty_filters", &empty_filters, "Indices of the mel filters that no bin falls into.")
      .def(
          "n_frames",
          [](const LogMelPlan& plan, long n_samples) {
            require(n_samples < 1L << 60, "expected fewer than 2^60 samples");
            return plan.n_frames(n_samples);
          },
          py::arg("n_samples"), "Number of frames that n_samples give.")
      .def("log_mel", &log_mel, py::arg("x").noconvert(), py::arg("out").noconvert() = py::none(),
           py::arg("threads") = 1,
           "Log-mel of x, float32 of shape (n_samples,) or (batch, n_samples).\n\n"
           "Returns (values, bad): values of shape ([batch,] n_frames, n_mels), new or `out` itself, and the index of "
           "the\n"
           "first clip with a value that is not finite, or -1. The interpreter lock is released.")
      .def("log_mel_many", &log_mel_many, py::arg("clips").noconvert(), py::arg("threads") = 1,
           "Log-mel of float32 waveforms of unequal lengths: a list of new arrays, and the index of the first clip "
           "with\n"
           "a value that is not finite, or -1. The interpreter lock is released.")
      .def("spectrogram", &spectrogram, py::arg("x").noconvert(),
           "Powers or magnitudes of x (n_samples,): a new float32 array of shape (n_frames, n_bins).")
      .def("stft", &stft, py::arg("x").noconvert(),
           "Complex spectra of x (n_samples,): a new complex64 array of shape (n_frames, n_bins).")
      .def("filters", &filters, "The mel filters: a new dense float32 array of shape (n_mels, n_bins).");

  py::class_<GuardedStream>(m, "LogMelStream", "Log-mel of one signal that arrives in blocks, one thread at a time.")
      .def(py::init([](std::shared_ptr<LogMelPlan> plan) { return std::make_unique<GuardedStream>(std::move(plan)); }),
           py::arg("plan"), "ValueError for a plan that needs the whole input.")
      .def(
          "push",
          [](GuardedStream& self, const FloatArray& block) {
            require(block.ndim() == 1, "expected a block of shape (n_samples,)");
            const float* x = block.data();
            const long n = block.shape(0);
            return self.frames([&] { return self.stream.frames_after(n); },
                               [&](float* out) { return self.stream.push(x, n, out); });
          },
          py::arg("block").noconvert(),
          "Take a block (n_samples,): (the frames that it completes as a new array (n_frames, n_mels), finite).")
      .def(
          "flush",
          [](GuardedStream& self) {
            return self.frames([&] { return self.stream.frames_left(); },
                               [&](float* out) { return self.stream.flush(out); });
          },
          "End the signal: (the frames still due as a new array (n_frames, n_mels), finite). The stream starts anew.");
}
