// Levels of samples for Python.
#include <pybind11/numpy.h>

#include <stdexcept>

#include "bindings.h"
#include "kernels.h"

namespace py = pybind11;

namespace {

py::tuple levels(const py::array_t<float>& samples, float full_scale, float silence) {
  if (samples.ndim() != 1 || (samples.shape(0) > 1 && samples.strides(0) != sizeof(float)))
    throw std::invalid_argument("expected contiguous samples");
  const float* x = samples.data();
  const long n = static_cast<long>(samples.shape(0));
  engine::Levels found;
  {
    const py::gil_scoped_release release;
    found = engine::kernels().levels(x, n, full_scale, silence);
  }
  return py::make_tuple(found.peak, found.clipped, found.silent);
}

}  // namespace

void bind_levels(py::module_& m) {
  m.def("levels", &levels, py::arg("samples").noconvert(), py::arg("full_scale"), py::arg("silence"),
        "Peak of float32 samples, how many are at full scale or above, and how many below silence.");
}
