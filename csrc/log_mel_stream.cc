#include "log_mel_stream.h"

#include <algorithm>
#include <stdexcept>

namespace engine {

LogMelStream::LogMelStream(std::shared_ptr<const LogMelPlan> plan) : plan_(std::move(plan)) {
  if (plan_->needs_whole_input())
    throw std::invalid_argument(
        "expected settings that need no more than a frame at a time, got one for the whole input");
}

// A frame is ready when its last sample has come; at the start also all samples that the padding before the signal
// repeats (sample i stands for sample -i).
long LogMelStream::frames_ready(long received) const {
  const LogMelOptions& o = plan_->options();
  const long first = plan_->first_sample(), length = plan_->signal_length(received);
  if (length <= -first || length < first + o.win_length) return 0;
  return std::min((length - first - o.win_length) / o.hop_length + 1, plan_->n_frames(received));
}

bool LogMelStream::emit(long end, float* out) {
  const long begin = next_frame_, hop = plan_->options().hop_length;
  if (begin >= end) return true;
  next_frame_ = end;
  const long first = plan_->first_sample() + begin * hop - discarded_;
  return plan_->frames_at(samples_.data(), static_cast<long>(samples_.size()), first, end - begin, out);
}

long LogMelStream::frames_after(long n) const { return std::max(frames_ready(received_ + n) - next_frame_, 0L); }

void LogMelStream::append(const float* x, long n) {
  const LogMelOptions& o = plan_->options();
  if (!o.preemphasis_of_clip) {
    samples_.insert(samples_.end(), x, x + n);
  } else {
    const float factor = static_cast<float>(o.preemphasis);
    for (long i = 0; i < n; i++) {
      if (received_ + i > 0) samples_.push_back(x[i] - factor * previous_);
      previous_ = x[i];
    }
  }
  received_ += n;
}

bool LogMelStream::push(const float* x, long n, float* out) {
  append(x, n);
  const bool finite = emit(frames_ready(received_), out);
  // The padding behind the end will repeat up to n_fft of the last samples.
  const LogMelOptions& o = plan_->options();
  const long next_start = plan_->first_sample() + next_frame_ * o.hop_length;
  const long keep = std::min(next_start, plan_->signal_length(received_) - o.n_fft - 1);
  // Moving the rest to the front costs as much as there is: wait until it is the smaller part.
  if (keep - discarded_ > static_cast<long>(samples_.size()) / 2) {
    samples_.erase(samples_.begin(), samples_.begin() + (keep - discarded_));
    discarded_ = keep;
  }
  return finite;
}

long LogMelStream::frames_left() const { return plan_->n_frames(received_) - next_frame_; }

bool LogMelStream::flush(float* out) {
  const bool finite = emit(plan_->n_frames(received_), out);
  samples_.clear();
  discarded_ = received_ = next_frame_ = 0;
  return finite;
}

}  // namespace engine
