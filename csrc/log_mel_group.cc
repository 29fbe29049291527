#include "log_mel_group.h"

#include <algorithm>

#include "parallel.h"

namespace engine {
namespace {

constexpr long kFramesPerPart = 512;  // a clip is split over threads in parts no shorter than this

// Frames inside the signal are the same under any padding.
bool stays_inside(const LogMelPlan& plan) { return plan.options().framing == Framing::kValid; }

bool same_columns(const LogMelPlan& a, const LogMelPlan& b) {
  const LogMelOptions &p = a.options(), &q = b.options();
  const bool same_signal = p.remove_clip_mean == q.remove_clip_mean && p.preemphasis_of_clip == q.preemphasis_of_clip &&
                           (!p.preemphasis_of_clip || p.preemphasis == q.preemphasis);
  const bool same_padding = a.clip().padding == b.clip().padding || stays_inside(a) || stays_inside(b);
  return same_signal && same_padding && p.hop_length == q.hop_length;
}

bool same_spectrum(const LogMelPlan& a, const LogMelPlan& b) {
  const FrameTables &p = a.frames(), &q = b.frames();
  return a.first_sample() == b.first_sample() && p.win_length == q.win_length &&
         p.fft.real_length == q.fft.real_length && p.remove_dc == q.remove_dc && p.preemphasis == q.preemphasis &&
         a.options().magnitude == b.options().magnitude && std::equal(p.window, p.window + p.win_length, q.window);
}

}  // namespace

LogMelGroup::LogMelGroup(const LogMelPlan& plan, int index)
    : members_{{&plan, index}}, clip_(plan.clip()), first_sample_(plan.first_sample()) {}

bool LogMelGroup::add(const LogMelPlan& plan, int index) {
  for (const Member& member : members_)
    if (!same_columns(*member.plan, plan)) return false;
  const auto alike =
      std::find_if(members_.rbegin(), members_.rend(), [&](const Member& m) { return same_spectrum(*m.plan, plan); });
  members_.insert(alike == members_.rend() ? members_.end() : alike.base(), {&plan, index});

  if (!stays_inside(plan)) clip_.padding = plan.clip().padding;
  first_sample_ = std::min(first_sample_, plan.first_sample());
  clip_.reach = 0;
  for (const auto& [member, _] : members_) {
    const long end = member->first_sample() + member->options().win_length;
    clip_.reach = std::max(clip_.reach, static_cast<int>(end - first_sample_));
  }
  FrameScratchSize size(clip_, plan.frames(), plan.n_mels(), kernels());
  for (const auto& [member, _] : members_)
    size.cover(FrameScratchSize(clip_, member->frames(), member->n_mels(), kernels()));
  own_scratch_ = std::make_shared<FrameScratchPool>(size, kernels());
  return true;
}

long LogMelGroup::n_frames(long n) const {
  long most = 0;
  for (const Member& member : members_) most = std::max(most, member.plan->n_frames(n));
  return most;
}

bool LogMelGroup::frames(const float* x, long n, long begin, long end, float* const* outs) const {
  std::vector<LogMelBranch> branches;
  const LogMelPlan* before = nullptr;
  for (size_t m = 0; m < members_.size(); m++) {
    const LogMelPlan& plan = *members_[m].plan;
    const bool again = before != nullptr && same_spectrum(*before, plan);
    const int offset = static_cast<int>(plan.first_sample() - first_sample_);
    const long count = std::min(end, plan.n_frames(n)) - begin;
    branches.push_back({&plan.frames(), &plan.mel(), offset, again, count, outs[m] + begin * plan.n_mels()});
    before = &plan;
  }
  const FrameScratchPool::Lease lease(scratch());
  return kernels().log_mel(clip_, lease.scratch(), x, any().signal_length(n), first_sample_ + begin * clip_.hop_length,
                           end - begin, branches.data(), static_cast<int>(branches.size()));
}

long compute_log_mel(const std::vector<LogMelGroup>& groups, const float* const* clips, const long* lengths,
                     long n_clips, float* const* const* outs, int n_threads) {
  struct Task {  // one group's work on one clip
    const LogMelGroup* group;
    long clip, n_frames;
    std::vector<float> changed;
    const float* signal;
    std::vector<float*> outs;
  };
  std::vector<Task> tasks;
  for (long c = 0; c < n_clips; c++) {
    for (const LogMelGroup& group : groups) {
      tasks.push_back({&group, c, group.n_frames(lengths[c]), {}, clips[c], {}});
      for (const auto& member : group.members()) tasks.back().outs.push_back(outs[member.index][c]);
    }
  }
  std::vector<Task*> changing;
  for (Task& task : tasks)
    if (task.group->any().changes_signal()) changing.push_back(&task);
  parallel_for(static_cast<long>(changing.size()), n_threads, [&](long i) {
    Task& task = *changing[i];
    task.signal = task.group->any().signal(clips[task.clip], lengths[task.clip], task.changed);
  });

  struct Part {
    const Task* task;
    long begin, end;
  };
  std::vector<Part> parts;
  const long n_tasks = static_cast<long>(tasks.size());
  const long parts_per_task = n_tasks > 0 && n_tasks < n_threads ? (n_threads + n_tasks - 1) / n_tasks : 1;
  for (const Task& task : tasks) {
    const long size = std::max((task.n_frames + parts_per_task - 1) / parts_per_task, kFramesPerPart);
    for (long begin = 0; begin < task.n_frames; begin += size)
      parts.push_back({&task, begin, std::min(begin + size, task.n_frames)});
  }

  const auto finish = [&](const Task& task) {
    for (size_t m = 0; m < task.outs.size(); m++) {
      const LogMelPlan& plan = *task.group->members()[m].plan;
      plan.finish(task.outs[m], plan.n_frames(lengths[task.clip]));
    }
  };
  std::vector<char> finite(parts.size(), 1);
  parallel_for(static_cast<long>(parts.size()), n_threads, [&](long p) {
    const auto& [task, begin, end] = parts[p];
    finite[p] = task->group->frames(task->signal, lengths[task->clip], begin, end, task->outs.data());
    if (begin == 0 && end == task->n_frames) finish(*task);  // while it is in the cache
  });
  for (size_t p = 0; p < parts.size(); p++) {
    const auto& [task, begin, end] = parts[p];
    if (!finite[p]) return task->clip;
    if (begin > 0 && end == task->n_frames) finish(*task);
  }
  return -1;
}

std::vector<LogMelGroup> share_columns(const std::vector<std::shared_ptr<const LogMelPlan>>& plans) {
  std::vector<LogMelGroup> groups;
  for (size_t p = 0; p < plans.size(); p++) {
    const int index = static_cast<int>(p);
    const auto joins = [&](LogMelGroup& group) { return group.add(*plans[p], index); };
    if (std::none_of(groups.begin(), groups.end(), joins)) groups.emplace_back(*plans[p], index);
  }
  return groups;
}

}  // namespace engine
