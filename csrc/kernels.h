// The kernels of one instruction set, and the choice among those built in.
#pragma once

#include "frames.h"

namespace engine {

struct Kernels {
  const char* name;      // "baseline", "neon", "avx2" or "avx512"
  int lanes;             // floats in a vector register
  int frames_per_chunk;  // frames transposed at a time
  bool wide_registers;   // 32 of them, not 16

  // Frames 0 .. n_frames - 1 of x, the first starting at sample `first` (it may be negative, and frames may reach
  // beyond n > 0: `padding` says what lies there). False when a mel sum is not a finite number.
  bool (*log_mel)(const FrameTables&, const MelTables&, const FrameScratch&, const float* x, long n, long first,
                  long n_frames, float* out);
  void (*spectrogram)(const FrameTables&, bool magnitude, const FrameScratch&, const float* x, long n, long first,
                      long n_frames, float* out);
  void (*stft)(const FrameTables&, const FrameScratch&, const float* x, long n, long first, long n_frames, float* out);
  float (*largest_value)(const float* values, long n);
  void (*limit_and_scale)(float* rows, long n_frames, int n_mels, float shift, float lowest, const float* gain,
                          const float* bias);
};

// The fastest kernels this processor runs, or those that the environment variable ENGINE_ISA names; chosen at the first
// call. Throws std::runtime_error when ENGINE_ISA names a set that is not built in or that the processor lacks.
const Kernels& kernels();

const Kernels& baseline_kernels();
#if defined(__x86_64__)
const Kernels& avx2_kernels();
const Kernels& avx512_kernels();
#endif

}  // namespace engine
