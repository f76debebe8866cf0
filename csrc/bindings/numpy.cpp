// What hears: kernels that take numpy's arrays.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <stdexcept>
#include <vector>

#include "cpu.h"
#include "ops.h"

namespace py = pybind11;

namespace {

// numpy's arrays hand out where they lie much sooner here than in Python.
template <class T> T *at(const py::array &array) {
  return static_cast<T *>(const_cast<void *>(array.data()));
}

template <class T> std::vector<T *> all_at(const std::vector<py::array> &arrays, int64_t size) {
  std::vector<T *> places;
  places.reserve(arrays.size());
  for (const py::array &array : arrays) {
    if (array.size() != size || array.itemsize() != py::ssize_t(sizeof(T)) ||
        !(array.flags() & py::array::c_style))
      throw std::invalid_argument("an array is not of the size that its kernel needs");
    places.push_back(at<T>(array));
  }
  return places;
}

// Lets other threads of Python run while a network has very many rows. With less, a millisecond, it
// is done sooner than the interpreter could be had back from a busy thread.
class ReleasedFor {
public:
  explicit ReleasedFor(int64_t rows) {
    if (rows >= 64)
      released_.emplace();
  }

private:
  std::optional<py::gil_scoped_release> released_;
};

void tower(int64_t inputs, int64_t width, int64_t remembered, const py::array &dilations,
           const py::array &tail, const py::array &weight, const py::array &bias,
           const py::array &x, const std::vector<py::array> &rings,
           const std::vector<int64_t> &steps, const py::array &y, const py::array &scratch) {
  const std::vector<float *> places = all_at<float>(rings, remembered * width);
  const avatar::Tower call = {int64_t(rings.size()),
                              inputs,
                              width,
                              dilations.size(),
                              tail.size(),
                              at<const int64_t>(dilations),
                              at<const int64_t>(tail),
                              at<const uint16_t>(weight),
                              at<const float>(bias),
                              at<const float>(x),
                              places.data(),
                              steps.data(),
                              at<float>(y),
                              at<float>(scratch)};
  const ReleasedFor released(call.rows);
  kernels().tower(call);
}

void log_mel(const std::vector<py::array> &sounds, const std::vector<py::array> &levels,
             const py::array &features, int64_t hop, const py::array &window,
             const py::array &twiddles, const py::array &band_first, const py::array &band_count,
             const py::array &band_weight, float attack, float release, float level_floor,
             float band_floor) {
  const int64_t frames = features.shape(1);
  const std::vector<float *> samples = all_at<float>(sounds, window.size() + (frames - 1) * hop);
  const std::vector<double *> followed = all_at<double>(levels, 1);
  kernels().log_mel({int64_t(sounds.size()), frames, samples.data(), followed.data(),
                     at<float>(features), features.shape(2), hop, window.size(),
                     at<const float>(window), at<const float>(twiddles), band_first.size(),
                     at<const int64_t>(band_first), at<const int64_t>(band_count),
                     at<const float>(band_weight), attack, release, level_floor, band_floor});
}

void mouth(int64_t rows, int64_t curves, int64_t visemes, const py::array &raw,
           const py::array &voiced, float gate_from, float gate_span, int64_t pressed,
           const py::array &opens, const py::array &parted, const py::array &not_parted,
           const py::array &shape, const py::array &speech) {
  kernels().mouth({rows, curves, visemes, at<const float>(raw), at<const float>(voiced), gate_from,
                   gate_span, pressed, at<const float>(opens), at<const float>(parted),
                   at<const float>(not_parted), at<float>(shape), at<float>(speech)});
}

} // namespace

void bind_numpy(py::module_ &module) {
  module.def("tower", &tower);
  module.def("log_mel", &log_mel);
  module.def("mouth", &mouth);
}
