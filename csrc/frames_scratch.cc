#include "frames_scratch.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

namespace engine {
namespace {

constexpr long kAlignment = 64;  // bytes: a cache line, and the widest register

long round_up(long n, long multiple) { return (n + multiple - 1) / multiple * multiple; }

}  // namespace

FrameScratchSize::FrameScratchSize(const ClipLayout& clip, const FrameTables& frames, int n_mels,
                                   const Kernels& kernels) {
  n_columns = kernels.frames_per_chunk + round_up((clip.reach - 1) / clip.hop_length, kernels.lanes);
  rows = std::max(std::min(clip.hop_length, clip.reach), kernels.lanes);
  spectrum = 2L * (frames.fft.size + frames.fft.scratch);
  power = 2L * frames.fft.n_bins;  // the complex transform is stored from there, too
  bands = n_mels;
}

void FrameScratchSize::cover(const FrameScratchSize& other) {
  n_columns = std::max(n_columns, other.n_columns);
  rows = std::max(rows, other.rows);
  spectrum = std::max(spectrum, other.spectrum);
  power = std::max(power, other.power);
  bands = std::max(bands, other.bands);
}

struct FrameScratchPool::Memory {
  FrameScratch scratch{};
  void* bytes;

  Memory(const FrameScratchSize& size, long lanes) {
    scratch.n_columns = size.n_columns;
    scratch.stride = size.n_columns + 16;  // not a power of two: rows spread over the cache's sets
    const long sizes[] = {size.rows * scratch.stride, lanes * size.rows, lanes * size.spectrum, lanes * size.power,
                          lanes * size.bands};
    float** const parts[] = {&scratch.columns, &scratch.edge, &scratch.spectrum, &scratch.power, &scratch.bands};
    long total = 0;
    for (const long part : sizes) total += round_up(part * sizeof(float), kAlignment);
    bytes = std::aligned_alloc(kAlignment, total);
    if (bytes == nullptr) throw std::bad_alloc();
    std::memset(bytes, 0, total);
    char* at = static_cast<char*>(bytes);
    for (int i = 0; i < 5; i++) {
      *parts[i] = reinterpret_cast<float*>(at);
      at += round_up(sizes[i] * sizeof(float), kAlignment);
    }
  }
  ~Memory() { std::free(bytes); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
};

FrameScratchPool::~FrameScratchPool() {
  for (auto& slot : slots_) delete slot.load();
}

FrameScratchPool::Lease::Lease(FrameScratchPool& pool) : pool_(pool) {
  for (auto& slot : pool_.slots_) {
    memory_ = slot.exchange(nullptr);
    if (memory_ != nullptr) return;
  }
  memory_ = new Memory(pool_.size_, pool_.lanes_);
}

FrameScratchPool::Lease::~Lease() {
  for (auto& slot : pool_.slots_) {
    Memory* empty = nullptr;
    if (slot.compare_exchange_strong(empty, memory_)) return;
  }
  delete memory_;
}

const FrameScratch& FrameScratchPool::Lease::scratch() const { return memory_->scratch; }

}  // namespace engine
