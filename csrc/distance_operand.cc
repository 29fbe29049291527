#include "distance_operand.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <stdexcept>
#include <string>

#include "parallel.h"

namespace engine {
namespace {

constexpr long kSampledRows = 1024;
const double kCosineLength = std::sqrt(0.5);

const float* float_values(const Rows& rows, long row, long n_rows, long first, long width, const Kernels& kernels,
                          std::vector<float>& scratch, long* stride) {
  if (!rows.half) {
    *stride = rows.stride;
    return static_cast<const float*>(rows.data) + row * rows.stride + first;
  }
  *stride = width;
  if (scratch.size() < static_cast<size_t>(n_rows * width)) scratch.resize(n_rows * width);
  for (long r = 0; r < n_rows; r++)
    kernels.widen_halves(static_cast<const uint16_t*>(rows.data) + (row + r) * rows.stride + first, width,
                         scratch.data() + r * width);
  return scratch.data();
}

// 1 / |x|, and 0 for a row of zeros.
double inverse_norm(double squared_norm) { return squared_norm > 0 ? 1 / std::sqrt(squared_norm) : 0.0; }

}  // namespace

Operand::Operand(const Rows& rows, Metric metric, std::vector<float> shift)
    : rows_(rows), metric_(metric), kernels_(kernels()), shift_(std::move(shift)), squares_(new double[rows.n]) {
  if (metric_ == Metric::kCosine) {
    scales_.reset(new float[rows.n]);
    inverse_norms_.reset(new double[rows.n]);
  }
}

bool Operand::measure(long begin, long end) {
  std::vector<float> scratch;
  for (long row = begin; row < end; row++) {
    const float* x = values(row, scratch);
    float scale = 1;
    double norm = 0;
    if (metric_ == Metric::kCosine) {
      norm = kernels_.squared_norm(x, d());
      inverse_norms_[row] = inverse_norm(norm);
      scales_[row] = scale = static_cast<float>(inverse_norms_[row] * kCosineLength);
    }
    squares_[row] = kernels_.shifted_squared_norm(x, d(), scale, shift_.data());
    // float32 overflow alone is no error: squared_norm, in double, knows better.
    if (!std::isfinite(squares_[row]) && !std::isfinite(kernels_.squared_norm(x, d()))) return false;
  }
  return true;
}

void Operand::throw_not_finite() const {
  std::vector<float> scratch;
  long row = 0;
  while (row < n() - 1 && std::isfinite(kernels_.squared_norm(values(row, scratch), d()))) row++;
  throw std::invalid_argument("expected finite numbers in " + std::string(rows_.name) +
                              ", got NaN or infinity in row " + std::to_string(row) + "; remove or repair that row");
}

const float* Operand::values(long row, long n_rows, long first, long width, std::vector<float>& scratch,
                             long* stride) const {
  return float_values(rows_, row, n_rows, first, width, kernels_, scratch, stride);
}

const float* Operand::values(long row, std::vector<float>& scratch) const {
  long stride;
  return values(row, 1, 0, d(), scratch, &stride);
}

void Operand::pack(long row, long end, long first, int depth, int width, float factor, std::vector<float>& scratch,
                   float* out) const {
  PackSource source;
  source.n_rows = static_cast<int>(std::min<long>(width, end - row));
  source.x = values(row, source.n_rows, first, depth, scratch, &source.stride);
  source.depth = depth;
  source.scale = scales_ ? scales_.get() + row : nullptr;
  source.shift = shift_.data() + first;
  source.factor = factor;
  kernels_.pack(source, width, out);
}

EncodedRow Operand::encode(long row, std::vector<float>& scratch, int8_t* codes) const {
  return kernels_.encode(values(row, scratch), d(), scales_ ? scales_[row] : 1.0f, shift_.data(), codes);
}

double Operand::product_with_codes(long row, const float* values, const int8_t* codes) const {
  return kernels_.dot_codes(values, d(), scales_ ? scales_[row] : 1.0f, shift_.data(), codes);
}

double Operand::product_with(long row, const std::vector<float>& vector) const {
  std::vector<float> scratch;
  return kernels_.dot(values(row, scratch), vector.data(), d());
}

void measure_all(Operand& operand, int n_threads) {
  const long rows_per_item = 256;
  std::atomic<bool> finite{true};
  parallel_for((operand.n() + rows_per_item - 1) / rows_per_item, n_threads, [&](long item) {
    if (!operand.measure(item * rows_per_item, std::min(operand.n(), (item + 1) * rows_per_item))) finite = false;
  });
  if (!finite) operand.throw_not_finite();
}

double finished(Metric metric, double distance) {
  if (metric == Metric::kEuclidean) return std::sqrt(distance);
  return metric == Metric::kInnerProduct ? -distance : distance;
}

double ExactDistance::operator()(long i, long j) {
  if (a_row_ != i) a_data_ = a_.values(i, a_values_), a_row_ = i;
  const float* b = b_.values(j, b_values_);
  const long d = a_.d();
  const Kernels& kernels = a_.kernels_;
  switch (a_.metric_) {
    case Metric::kInnerProduct: return -kernels.dot(a_data_, b, d);
    case Metric::kCosine: {
      const double u = a_.inverse_norms_[i], v = b_.inverse_norms_[j];
      return u == 0 || v == 0 ? 1.0 : 0.5 * kernels.squared_difference(a_data_, b, d, u, v);
    }
    case Metric::kSquaredEuclidean:
    case Metric::kEuclidean: break;
  }
  return kernels.squared_difference(a_data_, b, d, 1.0, 1.0);
}

Centre::Centre(const Rows& rows, Metric metric) : mean(rows.d), square(0) {
  const Kernels& k = kernels();
  const long n = std::min(rows.n, kSampledRows);
  std::vector<float> scratch;
  long stride;
  for (long s = 0; s < n; s++) {
    const float* x = float_values(rows, s * rows.n / n, 1, 0, rows.d, k, scratch, &stride);
    const double norm = k.squared_norm(x, rows.d);
    const double weight = (metric == Metric::kCosine ? inverse_norm(norm) * kCosineLength : 1.0) / n;
    for (long i = 0; i < rows.d; i++) mean[i] += x[i] * weight;
    square += norm / n;
  }
}

double Centre::centred_square() const {
  double centre = 0;
  for (const double m : mean) centre += m * m;
  return square - centre;
}

std::vector<float> Centre::shift() const {
  std::vector<float> shift(mean.size());
  for (size_t i = 0; i < mean.size(); i++) shift[i] = std::isfinite(mean[i]) ? -static_cast<float>(mean[i]) : 0.0f;
  return shift;
}

}  // namespace engine
