// The kernels for every processor of the target architecture: SSE2 on x86-64, NEON on ARM.
#define ENGINE_ISA baseline
#if defined(__aarch64__)
#define ENGINE_ISA_NAME "neon"
#define ENGINE_WIDE_REGISTERS true
#else
#define ENGINE_ISA_NAME "baseline"
#define ENGINE_WIDE_REGISTERS false
#endif
#include "kernels_of_isa.h"

namespace engine {
const Kernels& baseline_kernels() { return baseline::kTable; }
}  // namespace engine
