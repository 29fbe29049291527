#include "kernels.h"

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace engine {
namespace {

struct Choice {
  const Kernels& (*table)();
  bool supported;
};

const Kernels& choose() {
#if defined(__x86_64__)
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#endif
  const Choice choices[] = {
#if defined(__x86_64__)
      {avx512vnni_kernels, avx512 && __builtin_cpu_supports("avx512vnni")},
      {avx512_kernels, avx512},
      {avx2_kernels, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")},
#endif
      {baseline_kernels, true},
  };
  const char* wanted = std::getenv("ENGINE_ISA");
  std::string supported;
  for (const Choice& choice : choices) {
    if (!choice.supported) continue;
    if (wanted == nullptr || *wanted == '\0' || std::string(wanted) == choice.table().name) return choice.table();
    supported += (supported.empty() ? "" : ", ") + std::string(choice.table().name);
  }
  throw std::runtime_error("expected the environment variable ENGINE_ISA to be one of " + supported + ", got '" +
                           std::string(wanted) + "'; unset it to use the fastest set of this processor");
}

}  // namespace

const Kernels& kernels() {
  static const Kernels& chosen = choose();
  return chosen;
}

}  // namespace engine
