// How loud samples are: their peak, and how many are at full scale or silent.
#pragma once

#include "kernels.h"
#include "lanes.h"

namespace engine {
namespace ENGINE_ISA {

// In one pass; what is not a number counts as none of them.
static Levels levels(const float* x, long n, float full_scale, float silence) {
  constexpr long kCounted = 1L << 24;  // samples until the counts of the lanes are added up
  Levels found = {0.0f, 0, 0};
  for (long begin = 0; begin < n; begin += kCounted) {
    const long end = smaller(n, begin + kCounted);
    Lanes peak = {};
    IntLanes clipped = {}, silent = {};
    long i = begin;
    for (; i + kLanes <= end; i += kLanes) {
      const Lanes sample = load(x + i);
      const Lanes level = larger(sample, -sample);
      peak = larger(peak, level);
      clipped -= level >= broadcast(full_scale);  // a comparison that holds is -1
      silent -= level < broadcast(silence);
    }
    for (int l = 0; l < kLanes; l++) {
      found.peak = peak[l] > found.peak ? peak[l] : found.peak;
      found.clipped += clipped[l];
      found.silent += silent[l];
    }
    for (; i < end; i++) {
      const float level = __builtin_fabsf(x[i]);
      found.peak = level > found.peak ? level : found.peak;
      found.clipped += level >= full_scale;
      found.silent += level < silence;
    }
  }
  return found;
}

}  // namespace ENGINE_ISA
}  // namespace engine
