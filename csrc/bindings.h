// The parts of the Python module engine._kernels. They hold gates for shapes and types, ownership, and the release of
// the interpreter lock; no arithmetic.
#pragma once

#include <pybind11/pybind11.h>

void bind_log_mel(pybind11::module_& m);
void bind_log_mel_bank(pybind11::module_& m);
void bind_distance(pybind11::module_& m);
void bind_levels(pybind11::module_& m);
