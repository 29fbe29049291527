// The kernels for processors with AVX2 and FMA.
#if defined(__x86_64__)
#define ENGINE_ISA avx2
#define ENGINE_ISA_NAME "avx2"
#define ENGINE_WIDE_REGISTERS false
#include "kernels_of_isa.h"

namespace engine {
const Kernels& avx2_kernels() { return avx2::kTable; }
}  // namespace engine
#endif
