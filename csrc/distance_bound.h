// How far a tile's float32 result may be from the true distance, so that no near neighbour is ever filtered out.
//
// Let u = 2^-24 be the rounding unit of float32, y = x * scale + shift the rows in exact arithmetic, y' the rounded
// ones that tiles multiply, r = |y'| (known in double), m the longest chain of additions behind a product p = y'_i .
// y'_j.
//
//   product     |p - y'_i . y'_j| <= gamma r_i r_j with gamma = m u / (1 - m u)        (Higham 2002, section 3.1)
//   rounding    |y' - y| <= e = u (r + 2 c), c the length of x * scale: sqrt(1/2) for kCosine, whose scale is rounded,
//               and 0 otherwise
//   difference  |y_i - y_j|^2 >= |y'_i - y'_j|^2 - 2 (r_i + r_j) (e_i + e_j), where, as 2 s t <= s^2 h + t^2 / h for
//               any h, here 2u, the last term is at most 4u (r_i^2 + r_j^2) + (e_i^2 + e_j^2) / u
//
// With 2 r_i r_j <= r_i^2 + r_j^2 every error splits into one part per row:
//
//   |y_i - y_j|^2 >= bias_i + bias_j - 2 p,    bias = r^2 (1 - gamma - 12 u) - u (r + 2 c)^2 - d 2^-124
//
// where 12 u also covers rounding the bias and the sum, and the double arithmetic of the exact distance; the last term
// covers underflow. For kInnerProduct, queries are not shifted, so that q . x = q . y - q . shift and
//
//   -q . x >= bias_q + bias_x - p,    bias_q = q . shift - lambda / 2 r_q^2 - ...,    bias_x = -g^2 / (2 lambda)
//
// with g = (gamma + 6 u) r_x and any lambda > 0, best near g / r_q. All of these errors have either sign, so that the
// true value is at most twice their sum above its lower bound; twice, because the bound may be as far below it.
#pragma once

#include <cmath>
#include <limits>

#include "distance_operand.h"

namespace engine {

constexpr double kRounding = 0x1p-24, kUnderflow = 0x1p-124;
constexpr double kLargestSquare = 1e37;  // no sum of products of shorter rows overflows float32, not even on the way

// gamma of a product over d coordinates, summed in blocks of `depth`.
inline double product_error(long d, long depth) {
  const double m = std::min(d, depth) + (d + depth - 1) / depth + 2.0;
  return m * kRounding / (1 - m * kRounding);
}

// The largest float32 not above `bound`; -infinity where float32 sums could overflow, so that nothing is filtered out.
inline float round_down(double bound) {
  if (!(std::fabs(bound) < kLargestSquare)) return -std::numeric_limits<float>::infinity();
  const float rounded = static_cast<float>(bound);
  return rounded > bound ? std::nextafter(rounded, -std::numeric_limits<float>::infinity()) : rounded;
}

// The smallest float32 not below `limit`.
inline float round_up(double limit) {
  const float rounded = static_cast<float>(limit);
  return rounded < limit ? std::nextafter(rounded, std::numeric_limits<float>::infinity()) : rounded;
}

// The biases of the derivation above.
class FilterBound {
 public:
  // product_ratio: for kInnerProduct, about |y| / |q|; no value is wrong, a good one filters best.
  FilterBound(Metric metric, long d, long depth, double product_ratio)
      : metric_(metric), gamma_(product_error(d, depth)), underflow_(d * kUnderflow) {
    const double ratio = std::isfinite(product_ratio) && product_ratio > 0 ? product_ratio : 1.0;
    g_ = gamma_ + 6 * kRounding;
    lambda_ = g_ * ratio;
  }

  // The bound's distance from the true value is at most relative_error() (r_i^2 + r_j^2) + absolute_error().
  double relative_error() const { return gamma_ + 16 * kRounding; }
  double absolute_error() const { return (metric_ == Metric::kCosine ? 8 * kRounding : 0.0) + 4 * underflow_; }

  double tile_factor() const { return metric_ == Metric::kInnerProduct ? -1.0 : -2.0; }

  // The true value is at least product + bias_i + bias_j, and at most that plus the slack of both.
  float query_bias(double square, double shift_product) const {
    if (metric_ != Metric::kInnerProduct || !(square < kLargestSquare)) return database_bias(square);
    return round_down(shift_product - 4 * kRounding * std::fabs(shift_product) -
                      lambda_ / 2 * square * (1 + 8 * kRounding) - underflow_);
  }

  float database_bias(double square) const {
    if (!(square < kLargestSquare)) return -std::numeric_limits<float>::infinity();
    if (metric_ == Metric::kInnerProduct)
      return round_down(-g_ * g_ * square / (2 * lambda_) * (1 + 8 * kRounding) - underflow_);
    const double reach = std::sqrt(square) + (metric_ == Metric::kCosine ? std::sqrt(2.0) : 0.0);
    return round_down(square * (1 - gamma_ - 12 * kRounding) - kRounding * reach * reach - underflow_);
  }

  float query_slack(double square, double shift_product) const {
    const double nominal = metric_ == Metric::kInnerProduct ? shift_product : square;
    return round_up(2 * (nominal - query_bias(square, shift_product)));
  }

  float database_slack(double square) const {
    const double nominal = metric_ == Metric::kInnerProduct ? 0.0 : square;
    return round_up(2 * (nominal - database_bias(square)));
  }

 private:
  Metric metric_;
  double gamma_, underflow_, g_, lambda_;
};

}  // namespace engine
