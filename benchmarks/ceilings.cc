// What this machine can do at most, on one thread: the yardstick of the benchmark tables. Built when one is run.
//   c++ -O3 -march=native -shared -fPIC ceilings.cc
#include <chrono>

namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif
typedef float Lanes __attribute__((vector_size(4 * kLanes)));

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

extern "C" {

// Multiply-adds on independent registers; floating-point operations per second.
double fma_peak() {
  constexpr int kChains = 12;
  constexpr long kSteps = 4000000;
  Lanes sums[kChains];
  for (int i = 0; i < kChains; i++) sums[i] = static_cast<float>(i) - Lanes{};  // equal chains would be merged
  const Lanes a = 0.999f - Lanes{}, b = 0.001f - Lanes{};
  const double begin = seconds();
  for (long step = 0; step < kSteps; step++) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains; i++) sums[i] = sums[i] * a + b;
  }
  const double elapsed = seconds() - begin;
  volatile float used = 0;
  for (int i = 0; i < kChains; i++) used = used + sums[i][0];
  return 2.0 * kChains * kLanes * kSteps / elapsed;
}

// Sequential reading; bytes per second. n is a multiple of 64.
double read_bandwidth(const float* x, long n) {
  typedef float Loaded __attribute__((vector_size(4 * kLanes), aligned(4), may_alias));
  Lanes a = {}, b = {}, c = {}, d = {};
  const double begin = seconds();
  for (long i = 0; i < n; i += 4 * kLanes) {
    a += *reinterpret_cast<const Loaded*>(x + i);
    b += *reinterpret_cast<const Loaded*>(x + i + kLanes);
    c += *reinterpret_cast<const Loaded*>(x + i + 2 * kLanes);
    d += *reinterpret_cast<const Loaded*>(x + i + 3 * kLanes);
  }
  const double elapsed = seconds() - begin;
  volatile float used = (a + b + c + d)[0];
  (void)used;
  return 4.0 * n / elapsed;
}
}
