// Scratch memory for the threads of a front end, kept from one call to the next.
#pragma once

#include <atomic>

#include "frames.h"
#include "kernels.h"

namespace engine {

// What one thread computes in, sizes in vectors except for the columns.
struct FrameScratchSize {
  long n_columns, rows;  // of the chunk of frames that is laid out at a time
  long spectrum, power, bands;

  FrameScratchSize(const ClipLayout& clip, const FrameTables& frames, int n_mels, const Kernels& kernels);
  // Grows to what either needs.
  void cover(const FrameScratchSize& other);
};

class FrameScratchPool {
 public:
  FrameScratchPool(const FrameScratchSize& size, const Kernels& kernels) : size_(size), lanes_(kernels.lanes) {}
  ~FrameScratchPool();
  FrameScratchPool(const FrameScratchPool&) = delete;
  FrameScratchPool& operator=(const FrameScratchPool&) = delete;

  const FrameScratchSize& size() const { return size_; }

  class Lease;

 private:
  struct Memory;
  static constexpr int kSlots = 64;

  FrameScratchSize size_;
  long lanes_;
  std::atomic<Memory*> slots_[kSlots] = {};
};

// Borrows scratch for one call. Slots are taken and given back by atomic exchange: no lock that a fork could leave held
// in the child.
class FrameScratchPool::Lease {
 public:
  explicit Lease(FrameScratchPool& pool);
  ~Lease();
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  const FrameScratch& scratch() const;

 private:
  FrameScratchPool& pool_;
  Memory* memory_;
};

}  // namespace engine
