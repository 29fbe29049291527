#include "window.h"

#include <cmath>

namespace engine {

std::vector<double> make_window(Window window, int length, bool periodic) {
  std::vector<double> values(length, 1.0);
  if (length == 1) return values;
  const bool symmetric = !periodic || window == Window::kPovey;
  const double step = 2.0 * 3.14159265358979323846 / (symmetric ? length - 1 : length);
  for (int i = 0; i < length; i++) {
    const double c = std::cos(step * i);
    switch (window) {
      case Window::kHann: values[i] = 0.5 - 0.5 * c; break;
      case Window::kHamming: values[i] = 0.54 - 0.46 * c; break;
      case Window::kPovey: values[i] = std::pow(0.5 - 0.5 * c, 0.85); break;
      case Window::kBlackman: values[i] = 0.42 - 0.5 * c + 0.08 * std::cos(2.0 * step * i); break;
      case Window::kRectangular: break;
    }
  }
  return values;
}

}  // namespace engine
