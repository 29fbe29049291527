// The kernels for processors with AVX-512 (F, BW, DQ and VL).
#if defined(__x86_64__)
#define ENGINE_ISA avx512
#define ENGINE_ISA_NAME "avx512"
#define ENGINE_WIDE_REGISTERS true
#include "kernels_of_isa.h"

namespace engine {
const Kernels& avx512_kernels() { return avx512::kTable; }
}  // namespace engine
#endif
