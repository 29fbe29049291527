// Log-mel of a signal that arrives in blocks: the same frames, bit for bit, as of the whole signal at once.
#pragma once

#include <memory>
#include <vector>

#include "log_mel.h"

namespace engine {

// Holds the samples that frames to come still need: about n_fft + win_length of them, and the block being pushed.
// One stream serves one signal at a time and one thread at a time; plans may be shared.
class LogMelStream {
 public:
  // Throws std::invalid_argument for a plan that needs the whole input.
  explicit LogMelStream(std::shared_ptr<const LogMelPlan> plan);

  // Frames that become ready when n more samples are pushed.
  long frames_after(long n) const;
  // Takes x[0 .. n) and writes the frames_after(n) frames x n_mels that it completes. False: see LogMelPlan::frames.
  bool push(const float* x, long n, float* out);

  // Frames that the end of the signal completes.
  long frames_left() const;
  // Ends the signal, writes frames_left() frames x n_mels, and makes the stream ready for another signal.
  bool flush(float* out);

 private:
  long frames_ready(long received) const;
  void append(const float* x, long n);
  bool emit(long end, float* out);

  std::shared_ptr<const LogMelPlan> plan_;
  std::vector<float> samples_;  // of the signal that frames are cut from, from discarded_ on
  float previous_ = 0.0f;       // last sample received
  long discarded_ = 0;
  long received_ = 0;
  long next_frame_ = 0;
};

}  // namespace engine
