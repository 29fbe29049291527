// Plans that read one transposed clip, and the loop over clips, parts of clips and threads.
//
// Plans of one hop that cut their frames from the same signal read the same columns, wherever in a column each of them
// starts; those that also agree on window and transform read the same spectrum. Sharing changes no bit of a result.
#pragma once

#include <memory>
#include <vector>

#include "log_mel.h"

namespace engine {

class LogMelGroup {
 public:
  // `index` is the plan's place among the outputs of compute_log_mel. Plans must outlive the group.
  LogMelGroup(const LogMelPlan& plan, int index);

  // Adds a plan that can share the columns; false, and no change, for one that cannot.
  bool add(const LogMelPlan& plan, int index);

  struct Member {
    const LogMelPlan* plan;
    int index;
  };
  const std::vector<Member>& members() const { return members_; }
  // A member, to ask for what they have in common.
  const LogMelPlan& any() const { return *members_.front().plan; }

  // The most frames that one of the members makes of n samples.
  long n_frames(long n) const;
  // Frames [begin, end) of every member, as far as it has them, of a clip of n samples whose signal is x. outs[m]: the
  // rows of member m from frame 0 on. False: see LogMelPlan::frames_at.
  bool frames(const float* x, long n, long begin, long end, float* const* outs) const;

 private:
  FrameScratchPool& scratch() const { return own_scratch_ ? *own_scratch_ : any().scratch(); }

  std::vector<Member> members_;  // those of one spectrum side by side
  ClipLayout clip_;
  long first_sample_;
  std::shared_ptr<FrameScratchPool> own_scratch_;  // of several members; one computes in its own
};

// Groups that hold the plans, each under its place in `plans`; a plan joins the first group that it can share with.
std::vector<LogMelGroup> share_columns(const std::vector<std::shared_ptr<const LogMelPlan>>& plans);

// Whole inputs on up to n_threads threads. The plan of index p writes n_frames(lengths[i]) x n_mels values of clip i to
// outs[p][i]. Returns the index of the first clip with a value that is not a finite number, or -1.
long compute_log_mel(const std::vector<LogMelGroup>& groups, const float* const* clips, const long* lengths,
                     long n_clips, float* const* const* outs, int n_threads);

}  // namespace engine
