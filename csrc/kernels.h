// The kernels of one instruction set, and the choice among those built in.
#pragma once

#include <cstdint>

#include "frames.h"
#include "tile.h"

namespace engine {

// What turns products of rows with a query into bounds; see bound_products() in row_lanes.h.
struct ProductBound {
  bool cosine;
  float length, slack;      // of the query; of a distance in parts of both lengths
  float smallest, largest;  // squared lengths of rows within which float32 suffices
};

// Of samples; see levels_lanes.h.
struct Levels {
  float peak;
  long clipped, silent;
};

struct Kernels {
  const char* name;      // "baseline", "neon", "avx2", "avx512" or "avx512vnni"
  int lanes;             // floats in a vector register
  int frames_per_chunk;  // frames transposed at a time
  bool wide_registers;   // 32 of them, not 16

  // Columns 0 .. n_frames - 1 of x, the first starting at sample `first` (it may be negative, and frames may reach
  // beyond n > 0: `padding` says what lies there), and what each branch makes of them. False when a mel sum is not a
  // finite number.
  bool (*log_mel)(const ClipLayout&, const FrameScratch&, const float* x, long n, long first, long n_frames,
                  const LogMelBranch* branches, int n_branches);
  void (*spectrogram)(const ClipLayout&, const FrameTables&, bool magnitude, const FrameScratch&, const float* x,
                      long n, long first, long n_frames, float* out);
  void (*stft)(const ClipLayout&, const FrameTables&, const FrameScratch&, const float* x, long n, long first,
               long n_frames, float* out);
  float (*largest_value)(const float* values, long n);
  void (*limit_and_scale)(float* rows, long n_frames, int n_mels, float shift, float lowest, const float* gain,
                          const float* bias);

  Levels (*levels)(const float* x, long n, float full_scale, float silence);

  // Matrix products in register tiles of tile_rows x tile_columns; see tile.h and tile_lanes.h.
  int tile_rows, tile_columns;
  void (*pack)(const PackSource&, int width, float* out);
  void (*sum_tiles)(const TileBlock&);
  void (*filter_tiles)(const TileBlock&, const SurvivorFilter&);
  void (*finish_tiles)(const TileBlock&, const FinishedRows&);

  // Rows of n or d numbers; see row_lanes.h.
  double (*squared_norm)(const float* x, long n);
  double (*shifted_squared_norm)(const float* x, long n, float scale, const float* shift);
  double (*dot)(const float* a, const float* b, long n);
  double (*squared_difference)(const float* a, const float* b, long n, double scale_a, double scale_b);
  void (*scan_differences)(const float* q, const float* x, long stride, long n, long d, float* squares);
  void (*scan_dots)(const float* q, const float* x, long stride, long n, long d, float* dots, float* squares);
  // Reads and writes whole vectors: up to lanes - 1 more numbers than n.
  void (*bound_products)(float* values, const float* squares, long n, const ProductBound& bound);
  void (*widen_halves)(const uint16_t* halves, long n, float* out);
  float (*smallest_above)(const float* values, long n, float above);
  long (*indices_between)(const float* values, long n, float low, float high, int* out);

  // Products of rows rounded to 8 bits, in tiles of the same shape; see code_lanes.h. Null where they are not faster.
  EncodedRow (*encode)(const float* x, long n, float scale, const float* shift, int8_t* codes) = nullptr;
  void (*pack_codes)(const int8_t* codes, int n_rows, int n_words, int width, bool add_128, uint32_t* out) = nullptr;
  void (*filter_codes)(const CodeTiles&, const SurvivorFilter&) = nullptr;
  float (*dot_codes)(const float* x, long n, float scale, const float* shift, const int8_t* codes) = nullptr;
};

// The fastest kernels this processor runs, or those that the environment variable ENGINE_ISA names; chosen at the first
// call. Throws std::runtime_error when ENGINE_ISA names a set that is not built in or that the processor lacks.
const Kernels& kernels();

const Kernels& baseline_kernels();
#if defined(__x86_64__)
const Kernels& avx2_kernels();
const Kernels& avx512_kernels();
const Kernels& avx512vnni_kernels();
#endif

}  // namespace engine
