// The plan of a discrete Fourier transform of real frames: which passes, with which constants.
//
// A real transform of even length N is a complex one of length M = N / 2 over z[n] = x[2n] + i x[2n + 1], untangled
// afterwards; an odd N is a complex transform of length N with zero imaginary parts. The complex transform runs in
// place by decimation in frequency and leaves its result in digit-reversed order; `position` says where each frequency
// ended up. Factors 2, 3, 4, 5 and 8 have butterflies; other primes use the definition, large ones Bluestein's
// algorithm.
#pragma once

#include <memory>
#include <vector>

namespace engine {

constexpr int kMaxFftStages = 16;

struct ChirpTables;

// One pass over blocks of `length`: butterflies of size `radix`, then multiplication by the twiddles
// exp(-2 pi i n k / length), stored for n = 0 .. length / radix - 1 and k = 1 .. radix - 1 as (cos, sin) pairs.
struct FftStage {
  int radix;
  int length;
  const float* twiddles;
  const float* roots;  // exp(-2 pi i j / radix), j = 0 .. radix - 1; used by radices without a butterfly of their own
  const ChirpTables* chirp;  // of large prime radices, else nullptr
};

// What the kernels read: plain views into an FftPlan.
struct FftTables {
  int real_length;  // N
  int size;         // M, the length of the complex transform
  bool packed;      // N is even: two real samples per complex element
  int n_bins;       // N / 2 + 1
  int scratch;      // complex elements that a pass may need
  int n_stages;
  FftStage stages[kMaxFftStages];
  const int* position;  // [M]: where frequency f lies after the passes
  const float* split;   // packed: exp(-2 pi i k / N), k = 0 .. M / 2, as (cos, sin) pairs
};

// Bluestein's algorithm (1970): with c[n] = exp(-pi i n^2 / p), the transform of p values is a convolution,
//   X[k] = c[k] sum over n of (x[n] c[n]) conj c[k - n],
// done by transforms of a power of two L >= 2 p - 1.
struct ChirpTables {
  FftTables convolution;  // of L complex values
  const float* chirp;     // [p]: c[n]
  const float* filter;    // [L]: the transform of conj c[n], repeated with period L, divided by L
};

class FftPlan {
 public:
  // real_length from 1 to 8192. `wide_registers`: 32 vector registers hold a radix-8 butterfly, 16 only radix 4.
  FftPlan(int real_length, bool wide_registers);
  ~FftPlan();
  FftPlan(const FftPlan&) = delete;
  FftPlan& operator=(const FftPlan&) = delete;

  const FftTables& tables() const { return tables_; }

 private:
  struct Chirp;
  struct ComplexLength {
    int value;
  };
  FftPlan(ComplexLength size, bool wide_registers);

  void plan_passes(const std::vector<int>& radices, bool wide_registers);
  const ChirpTables* plan_chirp(int prime, bool wide_registers);
  const float* keep(std::vector<float> constants);

  FftTables tables_{};
  std::vector<std::vector<float>> constants_;
  std::vector<int> position_;
  std::vector<std::unique_ptr<Chirp>> chirps_;
};

}  // namespace engine
