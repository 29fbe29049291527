// Plain views and scratch that cross into the instruction-set units. No functions here: see lanes.h for why.
#pragma once

#include "fft_plan.h"

namespace engine {

enum class Padding { kZeros, kReflect, kMirror };  // samples outside the signal: 0, x[-i] = x[i], or x[-i] = x[i - 1]

// Which samples the columns of a clip hold, see frames_lanes.h: column c those from c * hop_length on. A frame of
// column c reads no more than the `reach` samples from there.
struct ClipLayout {
  int hop_length, reach;
  Padding padding;
};

// How frames are cut, windowed and transformed.
struct FrameTables {
  int win_length, hop_length;
  bool per_frame_filter;  // DC removal or pre-emphasis is on
  bool remove_dc;
  float preemphasis;
  const float* window;     // [win_length]: window * input scale, and * 1/2 where the transform is packed
  const float* dc_window;  // [win_length]: window * (1 - preemphasis), what a frame's mean is multiplied by
  FftTables fft;
};

// Sparse filters and the logarithm: value[m] = gain[m] * ln(max(sum, floor) + offset) + bias[m].
struct MelTables {
  int n_mels;
  bool magnitude;
  const int* first_bin;         // [n_mels]
  const int* end_bin;           // [n_mels]
  const float* const* weights;  // [n_mels], each end_bin - first_bin values
  float floor, offset;
  const float* gain;  // [n_mels]
  const float* bias;  // [n_mels]
};

// Log-mel by one configuration, of several that read the same columns.
struct LogMelBranch {
  const FrameTables* frames;
  const MelTables* mel;
  int offset;          // of a frame's first sample from the start of its column
  bool same_spectrum;  // as the branch before this one
  long n_frames;
  float* out;  // n_frames x n_mels
};

// What one thread computes in.
struct FrameScratch {
  float* columns;   // the transposed clip, see frames_lanes.h
  float* edge;      // samples of one block of frames that reach beyond the signal
  float* spectrum;  // the transform's complex elements, and its pass scratch
  float* power;     // n_bins vectors
  float* bands;     // n_mels vectors
  long n_columns, stride;
};

}  // namespace engine
