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
//
// Encoded rows (code_lanes.h) stand for z = step * codes, whose distance from y' is at most epsilon, measured for each
// row: the root of its squared_error plus 4 u (r + 2 c), which covers measuring it. With s = r + epsilon >= |z|,
//
//   |y'_i . y'_j - z_i . z_j| = |(y'_i - z_i) . y'_j + z_i . (y'_j - z_j)| <= epsilon_i s_j + s_i epsilon_j
//
// by Cauchy and Schwarz: no assumption about how rounding errors are distributed. The product of the codes is exact;
// making it float32 and multiplying by two steps costs 3 u s_i s_j, and adding biases is covered as above with s for r.
// Again 2 s_i epsilon_j <= lambda s_i^2 + epsilon_j^2 / lambda for any lambda > 0, best near epsilon_j / s_i, and so on
// for the other term with mu: both sides split into one part per row, and twice the product's error is at most
//
//   (lambda + 16 u) s_i^2 + epsilon_i^2 / mu + (mu + 16 u) s_j^2 + epsilon_j^2 / lambda,
//
// enlarged by 8 u, as it may be much larger than the row. With y'_i itself in place of z_i only r_i epsilon_j is left
// of that error, plus gamma r_i s_j for a product in float32 and 4 u (r_i + 2 c) s_j for rounding y'_i once more.
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
  // ratio: about |y| / |q|; coding_ratio: about epsilon / r, or 0 for rows that are not encoded. No value is wrong, a
  // good one filters best.
  FilterBound(Metric metric, long d, double product_error, double ratio, double coding_ratio = 0)
      : metric_(metric),
        gamma_(product_error),
        underflow_(d * kUnderflow),
        narrowed_error_(engine::product_error(d / 16 + 96, d / 16 + 96)) {
    if (!(std::isfinite(ratio) && ratio > 0)) ratio = 1.0;
    g_ = gamma_ + 6 * kRounding;
    lambda_ = g_ * ratio;
    if (coding_ratio > 0) query_coding_ = coding_ratio * ratio, database_coding_ = coding_ratio / ratio;
  }

  // The bound's distance from the true value is at most relative_error() (r_i^2 + r_j^2) + absolute_error().
  double relative_error() const { return gamma_ + 16 * kRounding; }
  double absolute_error() const { return (metric_ == Metric::kCosine ? 8 * kRounding : 0.0) + 4 * underflow_; }

  double tile_factor() const { return metric_ == Metric::kInnerProduct ? -1.0 : -2.0; }

  // The true value is at least product + bias_i + bias_j, and at most that plus the slack of both. squared_error is
  // that of an encoded row, and not looked at otherwise.

  float query_bias(double square, double shift_product, double squared_error = 0) const {
    if (!(square < kLargestSquare)) return -std::numeric_limits<float>::infinity();
    const double coding = coding_cost(square, squared_error, query_coding_, database_coding_);
    if (metric_ != Metric::kInnerProduct) return round_down(plain_bias(square) - coding);
    return round_down(shift_product - 4 * kRounding * std::fabs(shift_product) -
                      lambda_ / 2 * square * (1 + 8 * kRounding) - underflow_ - coding / 2);
  }

  float database_bias(double square, double squared_error = 0) const {
    if (!(square < kLargestSquare)) return -std::numeric_limits<float>::infinity();
    const double coding = coding_cost(square, squared_error, database_coding_, query_coding_);
    return round_down(plain_bias(square) - (metric_ == Metric::kInnerProduct ? coding / 2 : coding));
  }

  // A lower bound from `product` = y'_i . z_j, as dot_codes() in code_lanes.h sums it.
  double narrowed(double square_i, double square_j, double squared_error_j, double product) const {
    if (!(square_i < kLargestSquare && square_j < kLargestSquare)) return -std::numeric_limits<double>::infinity();
    const double error = coding_error(square_j, squared_error_j), length = std::sqrt(square_i);
    const double rounding = narrowed_error_ * length + 4 * kRounding * reach(square_i);
    const double loss = length * error + rounding * (std::sqrt(square_j) + error);
    return tile_factor() * product + tile_factor() * loss + plain_bias(square_i) + plain_bias(square_j);
  }

  // Where a bias stems from `nominal`, the square of a row or for kInnerProduct q . shift or 0.
  static float slack(double nominal, float bias) { return round_up(2 * (nominal - bias)); }
  double query_nominal(double square, double shift_product) const {
    return metric_ == Metric::kInnerProduct ? shift_product : square;
  }
  double database_nominal(double square) const { return metric_ == Metric::kInnerProduct ? 0.0 : square; }

 private:
  double reach(double square) const { return std::sqrt(square) + (metric_ == Metric::kCosine ? std::sqrt(2.0) : 0.0); }

  // The bias of a database row that is not encoded.
  double plain_bias(double square) const {
    if (metric_ == Metric::kInnerProduct) return -g_ * g_ * square / (2 * lambda_) * (1 + 8 * kRounding) - underflow_;
    return square * (1 - gamma_ - 12 * kRounding) - kRounding * reach(square) * reach(square) - underflow_;
  }

  double coding_error(double square, double squared_error) const {
    return std::sqrt(squared_error) * (1 + kRounding) + 4 * kRounding * reach(square);
  }

  // One row's part of what encoding adds to the error of a distance; twice its part for kInnerProduct.
  double coding_cost(double square, double squared_error, double own, double other) const {
    if (own == 0) return 0.0;
    const double error = coding_error(square, squared_error), length = std::sqrt(square) + error;
    return ((own + 16 * kRounding) * length * length + error * error / other) * (1 + 8 * kRounding);
  }

  Metric metric_;
  double gamma_, underflow_, narrowed_error_, g_, lambda_;
  double query_coding_ = 0, database_coding_ = 0;  // lambda and mu of encoded rows
};

}  // namespace engine
