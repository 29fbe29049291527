// Distances for Python; engine.distance is the wrapper users call.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <optional>
#include <stdexcept>
#include <string>

#include "bindings.h"
#include "distance.h"
#include "distance_semi_hard.h"

namespace py = pybind11;

namespace {

using engine::Metric;
using engine::Rows;
using Ids = py::array_t<int64_t, py::array::c_style>;
using Mask = py::array_t<bool, py::array::c_style>;
using Floats = py::array_t<float, py::array::c_style>;

void require(bool ok, const char* message) {
  if (!ok) throw std::invalid_argument(message);
}

// A view of a float32 or float16 matrix whose rows are contiguous.
Rows rows_of(const char* name, const py::array& array) {
  const bool half = array.dtype().equal(py::dtype("float16"));
  require(half || array.dtype().equal(py::dtype::of<float>()), "expected rows of float32 or float16");
  require(array.ndim() == 2, "expected a matrix of rows");
  const py::ssize_t size = array.itemsize();
  if (array.size() > 0) {  // the strides of an empty array mean nothing
    require(array.shape(1) == 1 || array.strides(1) == size, "expected rows whose numbers are contiguous");
    require(array.strides(0) % size == 0 && reinterpret_cast<uintptr_t>(array.data()) % size == 0,
            "expected aligned numbers");
  }
  return {name, array.data(), array.shape(0), array.shape(1), array.strides(0) / size, half};
}

Metric metric_of(const std::string& name) {
  if (name == "cosine") return Metric::kCosine;
  if (name == "sqeuclidean") return Metric::kSquaredEuclidean;
  if (name == "euclidean") return Metric::kEuclidean;
  if (name == "inner_product") return Metric::kInnerProduct;
  throw std::invalid_argument("expected metric cosine, sqeuclidean, euclidean or inner_product, got '" + name + "'");
}

const int64_t* ids_of(const std::optional<Ids>& ids, long n) {
  if (!ids) return nullptr;
  require(ids->ndim() == 1 && ids->shape(0) == n, "expected one id per row");
  return ids->data();
}

engine::Encode encode_of(const std::optional<bool>& encode) {
  if (!encode) return engine::Encode::kWhereItPays;
  return *encode ? engine::Encode::kAlways : engine::Encode::kNever;
}

void pairwise(const py::array& a, const py::array& b, const std::string& metric, Floats out, int threads) {
  const Rows rows_a = rows_of("a", a), rows_b = rows_of("b", b);
  const Metric kind = metric_of(metric);
  require(rows_a.d == rows_b.d, "expected rows of equal length");
  require(out.ndim() == 2 && out.shape(0) == rows_a.n && out.shape(1) == rows_b.n,
          "expected `out` of shape (n_a, n_b)");
  float* values = out.mutable_data();
  const py::gil_scoped_release unlocked;
  engine::pairwise(rows_a, rows_b, kind, values, rows_b.n, threads);
}

py::tuple top_k(const py::array& queries, const py::array& database, long k, const std::string& metric,
                const std::optional<Ids>& query_groups, const std::optional<Ids>& database_groups, bool exclude_self,
                const std::optional<Mask>& allowed, int threads, const std::optional<bool>& encode) {
  const Rows q = rows_of("queries", queries), x = rows_of("database", database);
  const Metric kind = metric_of(metric);
  require(q.d == x.d, "expected rows of equal length");
  require(k >= 0, "expected k of at least 0");
  require(query_groups.has_value() == database_groups.has_value(), "expected groups of both sides or of neither");
  require(!exclude_self || q.n == x.n, "expected as many queries as database rows");
  require(!allowed || (allowed->ndim() == 1 && allowed->shape(0) == x.n), "expected one truth value per database row");
  const engine::Exclusion exclusion{ids_of(query_groups, q.n), ids_of(database_groups, x.n), exclude_self,
                                    allowed ? allowed->data() : nullptr};
  Ids indices({static_cast<py::ssize_t>(q.n), static_cast<py::ssize_t>(k)});
  py::array_t<double> distances({static_cast<py::ssize_t>(q.n), static_cast<py::ssize_t>(k)});
  int64_t* index = indices.mutable_data();
  double* distance = distances.mutable_data();
  {
    const py::gil_scoped_release unlocked;
    engine::top_k(q, x, k, kind, exclusion, threads, index, distance, encode_of(encode));
  }
  return py::make_tuple(indices, distances);
}

py::tuple nearest_self(const py::array& database, long k, const std::string& metric, const std::optional<Ids>& groups,
                       int threads, const std::optional<bool>& encode) {
  const Rows x = rows_of("database", database);
  const Metric kind = metric_of(metric);
  require(k >= 0, "expected k of at least 0");
  const int64_t* ids = ids_of(groups, x.n);
  Ids indices({static_cast<py::ssize_t>(x.n), static_cast<py::ssize_t>(k)});
  py::array_t<double> distances({static_cast<py::ssize_t>(x.n), static_cast<py::ssize_t>(k)});
  int64_t* index = indices.mutable_data();
  double* distance = distances.mutable_data();
  {
    const py::gil_scoped_release unlocked;
    engine::nearest_self(x, k, kind, ids, threads, index, distance, encode_of(encode));
  }
  return py::make_tuple(indices, distances);
}

// Ids (n,) int64, or masks (n, words) uint64, of n rows.
engine::Labels labels_of(const std::optional<py::array>& labels, long n) {
  engine::Labels view;
  if (!labels) return view;
  require(labels->shape(0) == n && (labels->flags() & py::array::c_style), "expected contiguous labels, one per row");
  if (labels->ndim() == 1) {
    require(labels->dtype().equal(py::dtype::of<int64_t>()), "expected int64 label ids");
    view.ids = static_cast<const int64_t*>(labels->data());
  } else {
    require(labels->ndim() == 2 && labels->dtype().equal(py::dtype::of<uint64_t>()), "expected uint64 label masks");
    view.masks = static_cast<const uint64_t*>(labels->data());
    view.words = labels->shape(1);
  }
  return view;
}

py::tuple semi_hard(const py::array& anchors, const std::optional<py::array>& positives,
                    const std::optional<py::array>& candidates, const std::optional<py::array>& labels,
                    const std::optional<py::array>& candidate_labels, const std::string& metric, int threads) {
  const Rows a = rows_of("anchors", anchors);
  const Rows p = positives ? rows_of("positives", *positives) : a,
             c = candidates ? rows_of("candidates", *candidates) : a;
  const Metric kind = metric_of(metric);
  require(kind != Metric::kInnerProduct, "expected a distance, got inner_product");
  require(p.d == a.d && c.d == a.d, "expected rows of equal length");
  require(p.n == a.n, "expected as many positives as anchors");
  require(labels.has_value() == candidate_labels.has_value(), "expected labels of both sides or of neither");
  const engine::Labels anchor_view = labels_of(labels, a.n), candidate_view = labels_of(candidate_labels, c.n);
  require((anchor_view.ids != nullptr) == (candidate_view.ids != nullptr) && anchor_view.words == candidate_view.words,
          "expected labels of one kind");
  std::vector<engine::Triplet> triplets;
  {
    const py::gil_scoped_release unlocked;
    triplets = engine::semi_hard(a, positives ? &p : nullptr, candidates ? &c : nullptr, anchor_view, candidate_view,
                                 kind, threads);
  }
  const auto n = static_cast<py::ssize_t>(triplets.size());
  Ids rows({n, py::ssize_t{3}});
  py::array_t<bool> semi_hard(n);
  for (py::ssize_t i = 0; i < n; i++) {
    const engine::Triplet& triplet = triplets[i];
    int64_t* row = rows.mutable_data(i, 0);
    row[0] = triplet.anchor, row[1] = triplet.positive, row[2] = triplet.negative;
    *semi_hard.mutable_data(i) = triplet.semi_hard;
  }
  return py::make_tuple(rows, semi_hard);
}

}  // namespace

void bind_distance(py::module_& m) {
  m.def(
      "pairwise", &pairwise, py::arg("a"), py::arg("b"), py::arg("metric"), py::arg("out"), py::arg("threads"),
      "Fill `out` (n_a, n_b) float32, C-contiguous, with the distances between the rows of a (n_a, d) and b (n_b, d),\n"
      "float32 or float16. The lock is released. ValueError for other shapes or types, and for a row that is not\n"
      "finite.");
  m.def("top_k", &top_k, py::arg("queries"), py::arg("database"), py::arg("k"), py::arg("metric"),
        py::arg("query_groups"), py::arg("database_groups"), py::arg("exclude_self"), py::arg("allowed"),
        py::arg("threads"), py::arg("encode") = py::none(),
        "New arrays (n, k): indices int64 and distances float64 of the k nearest database rows of each query, nearest\n"
        "first; -1 and infinity where there is none. encode: whether to filter by 8-bit codes where\n"
        "the processor has fast products of them (None: where it pays); the same result. The lock is released. Errors "
        "as\n"
        "pairwise.");
  m.def("nearest_self", &nearest_self, py::arg("database"), py::arg("k"), py::arg("metric"), py::arg("groups"),
        py::arg("threads"), py::arg("encode") = py::none(),
        "top_k of a set in itself, each row but for itself, at half the cost. Errors as pairwise.");
  m.def(
      "semi_hard", &semi_hard, py::arg("anchors"), py::arg("positives"), py::arg("candidates"), py::arg("labels"),
      py::arg("candidate_labels"), py::arg("metric"), py::arg("threads"),
      "New arrays: rows (n_pairs, 3) int64 of anchor, positive and negative (-1: none), and whether each negative is\n"
      "semi-hard (n_pairs,). positives=None: pairs of anchors that share a label; candidates=None: the anchors.\n"
      "Labels: ids (n,) int64, masks (n, words) uint64, or None. The lock is released. Errors as pairwise.");
}
