// Analysis windows by name.
#pragma once

#include <vector>

namespace engine {

enum class Window { kHann, kHamming, kPovey, kBlackman, kRectangular };

// `length` values, computed in double. Periodic: the first `length` values of the symmetric window of length + 1 (the
// DFT-even form). Povey is Kaldi's symmetric Hann window to the power 0.85. A window of one sample is 1.
std::vector<double> make_window(Window window, int length, bool periodic);

}  // namespace engine
