// The Python module engine._kernels.
#include "bindings.h"

#include "kernels.h"

PYBIND11_MODULE(_kernels, m) {
  m.doc() = "Compiled kernels. Use the wrappers in engine.frontend, which check their input.";
  m.def(
      "isa", [] { return engine::kernels().name; },
      "Name of the instruction set in use: 'baseline', 'neon', 'avx2', 'avx512' or 'avx512vnni'.\n\n"
      "The environment variable ENGINE_ISA forces one; RuntimeError when it names one that this processor lacks.");
  bind_log_mel(m);
  bind_log_mel_bank(m);
  bind_distance(m);
  bind_levels(m);
}
