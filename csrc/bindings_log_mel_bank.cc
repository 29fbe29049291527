// Several LogMelPlans over one waveform, for Python; engine.frontend.bank is the wrapper users call.
#include "bindings.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <vector>

#include "log_mel_group.h"

namespace py = pybind11;

namespace {

using engine::LogMelPlan;

using FloatArray = py::array_t<float, py::array::c_style>;
using Plans = std::vector<std::shared_ptr<const LogMelPlan>>;

struct LogMelBank {
  Plans plans;
  std::vector<engine::LogMelGroup> groups;

  explicit LogMelBank(Plans p) : plans(std::move(p)) {
    for (const auto& plan : plans)
      if (plan == nullptr) throw std::invalid_argument("expected plans, got None");
    groups = engine::share_columns(plans);
  }

  // outs[p][i]: plan p's rows of clip i. Clip i has lengths[i] samples.
  long compute(const std::vector<const float*>& clips, const std::vector<long>& lengths,
               const std::vector<std::vector<float*>>& outs, int threads) const {
    std::vector<float* const*> rows;
    for (const auto& of_plan : outs) rows.push_back(of_plan.data());
    const py::gil_scoped_release release;
    return engine::compute_log_mel(groups, clips.data(), lengths.data(), static_cast<long>(clips.size()), rows.data(),
                                   threads);
  }
};

void require(bool ok, const char* message) {
  if (!ok) throw std::invalid_argument(message);
}

// The arrays of `outs`, which must be of these shapes, or new ones.
std::vector<FloatArray> outputs(const std::optional<std::vector<FloatArray>>& outs,
                                const std::vector<std::vector<py::ssize_t>>& shapes) {
  if (!outs) return {shapes.begin(), shapes.end()};
  require(outs->size() == shapes.size(), "expected one array of `outs` for each plan");
  for (size_t p = 0; p < shapes.size(); p++) {
    const FloatArray& out = (*outs)[p];
    const bool fits = out.writeable() && std::vector<py::ssize_t>(out.shape(), out.shape() + out.ndim()) == shapes[p];
    require(fits, "expected `outs` to be writeable float32 arrays of the results' shapes");
  }
  return *outs;
}

py::tuple log_mel(const LogMelBank& bank, const FloatArray& x, const std::optional<std::vector<FloatArray>>& outs,
                  int threads) {
  require(x.ndim() == 1 || x.ndim() == 2, "expected a waveform of shape (n_samples,) or (batch, n_samples)");
  require(threads >= 1, "expected threads of at least 1");
  const long n_clips = x.ndim() == 2 ? x.shape(0) : 1, n = x.shape(x.ndim() - 1);
  std::vector<std::vector<py::ssize_t>> shapes;
  for (const auto& plan : bank.plans) {
    shapes.push_back({plan->n_frames(n), plan->n_mels()});
    if (x.ndim() == 2) shapes.back().insert(shapes.back().begin(), n_clips);
  }
  std::vector<FloatArray> results = outputs(outs, shapes);
  std::vector<const float*> clips(n_clips);
  for (long i = 0; i < n_clips; i++) clips[i] = x.data() + i * n;
  std::vector<std::vector<float*>> rows;
  for (size_t p = 0; p < bank.plans.size(); p++) {
    const long size = bank.plans[p]->n_frames(n) * bank.plans[p]->n_mels();
    rows.emplace_back(n_clips);
    for (long i = 0; i < n_clips; i++) rows[p][i] = results[p].mutable_data() + i * size;
  }
  const long bad = bank.compute(clips, std::vector<long>(n_clips, n), rows, threads);
  return py::make_tuple(results, bad);
}

py::tuple log_mel_many(const LogMelBank& bank, const std::vector<FloatArray>& clips, int threads) {
  require(threads >= 1, "expected threads of at least 1");
  std::vector<const float*> inputs;
  std::vector<long> lengths;
  for (const FloatArray& clip : clips) {
    require(clip.ndim() == 1, "expected waveforms of shape (n_samples,)");
    inputs.push_back(clip.data());
    lengths.push_back(clip.shape(0));
  }
  std::vector<std::vector<FloatArray>> results(bank.plans.size());
  std::vector<std::vector<float*>> rows(bank.plans.size());
  for (size_t p = 0; p < bank.plans.size(); p++) {
    for (const long n : lengths) {
      results[p].emplace_back(std::vector<py::ssize_t>{bank.plans[p]->n_frames(n), bank.plans[p]->n_mels()});
      rows[p].push_back(results[p].back().mutable_data());
    }
  }
  const long bad = bank.compute(inputs, lengths, rows, threads);
  return py::make_tuple(results, bad);
}

}  // namespace

void bind_log_mel_bank(py::module_& m) {
  py::class_<LogMelBank>(m, "LogMelBank", "Several front ends over one waveform. Safe to use from many threads.")
      .def(py::init<Plans>(), py::arg("plans"),
           "The plans share what they can of the work; results are those of each plan alone, bit for bit.")
      .def_property_readonly(
          "n_groups", [](const LogMelBank& bank) { return bank.groups.size(); },
          "Times that a waveform is laid out for frames: once for all plans that can share it.")
      .def("log_mel", &log_mel, py::arg("x").noconvert(), py::arg("outs").noconvert() = py::none(),
           py::arg("threads") = 1,
           "Log-mel of x, float32 of shape (n_samples,) or (batch, n_samples), by every plan.\n\n"
           "Returns (values, bad): a list with an array ([batch,] n_frames, n_mels) per plan, new or those of `outs`, "
           "and\nthe index of the first clip with a value that is not finite, or -1. The interpreter lock is released.")
      .def(
          "log_mel_many", &log_mel_many, py::arg("clips").noconvert(), py::arg("threads") = 1,
          "Log-mel of float32 waveforms of unequal lengths: for every plan a list of new arrays; and the index of the\n"
          "first clip with a value that is not finite, or -1. The interpreter lock is released.");
}
