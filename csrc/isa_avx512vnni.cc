// The kernels for processors with AVX-512 and its dot products of 8-bit integers (VNNI), which only searches use.
#if defined(__x86_64__)
#define ENGINE_ISA avx512vnni
#include "code_lanes.h"
#include "kernels.h"

namespace engine {
const Kernels& avx512vnni_kernels() {
  static const Kernels table = [] {
    Kernels kernels = avx512_kernels();
    kernels.name = "avx512vnni";
    kernels.encode = avx512vnni::encode;
    kernels.pack_codes = avx512vnni::pack_codes;
    kernels.filter_codes = avx512vnni::filter_codes;
    kernels.dot_codes = avx512vnni::dot_codes;
    return kernels;
  }();
  return table;
}
}  // namespace engine
#endif
