// The Python face of the kernels: the only file that knows pybind11. Built twice, for the CPU
// module and (with AVATAR_BINDINGS_CUDA) for the CUDA module.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "ops.h"

namespace py = pybind11;

namespace {

// Sizes or strides; read from a tuple several times faster than pybind11 reads an array.
struct Four {
  int64_t all[4];
  int64_t operator[](size_t i) const { return all[i]; }
};

} // namespace

template <> struct pybind11::detail::type_caster<Four> {
  PYBIND11_TYPE_CASTER(Four, const_name("tuple[int, int, int, int]"));

  bool load(handle from, bool) {
    const bool list = PyList_Check(from.ptr());
    if (!(list || PyTuple_Check(from.ptr())) || PySequence_Fast_GET_SIZE(from.ptr()) != 4)
      return false;
    for (int i = 0; i < 4; ++i)
      value.all[i] = PyLong_AsLongLong(PySequence_Fast_GET_ITEM(from.ptr(), i));
    return !PyErr_Occurred();
  }
};

namespace {

avatar::View view(uintptr_t data, const Four &strides) {
  return {reinterpret_cast<void *>(data), strides[0], strides[1], strides[2], strides[3]};
}

avatar::Shape shape(const Four &sizes) { return {sizes[0], sizes[1], sizes[2], sizes[3]}; }

avatar::Adain adain_of(int type, bool channels_last, const Four &sizes, uintptr_t x,
                       const Four &x_strides, uintptr_t residual, const Four &residual_strides,
                       uintptr_t y, const Four &y_strides, uintptr_t scale, uintptr_t shift,
                       float negative_slope, float eps) {
  return {static_cast<avatar::Type>(type),
          channels_last,
          shape(sizes),
          view(x, x_strides),
          view(residual, residual_strides),
          view(y, y_strides),
          reinterpret_cast<const float *>(scale),
          reinterpret_cast<const float *>(shift),
          negative_slope,
          eps};
}

avatar::Warp warp_of(int type, bool channels_last, const Four &sizes, uintptr_t image,
                     const Four &image_strides, uintptr_t grid, int64_t grid_height,
                     int64_t grid_width, uintptr_t y, const Four &y_strides, int64_t height,
                     int64_t width, bool border) {
  return {static_cast<avatar::Type>(type),
          channels_last,
          shape(sizes),
          height,
          width,
          view(image, image_strides),
          view(y, y_strides),
          reinterpret_cast<const float *>(grid),
          grid_height,
          grid_width,
          border};
}

avatar::Spread spread_of(int64_t batch, int64_t places, int64_t count, uintptr_t at,
                         uintptr_t points, uintptr_t values, uintptr_t weights, uintptr_t out,
                         float sigma, float floor) {
  return {batch,
          places,
          count,
          reinterpret_cast<const float *>(at),
          reinterpret_cast<const float *>(points),
          reinterpret_cast<const float *>(values),
          reinterpret_cast<const float *>(weights),
          reinterpret_cast<float *>(out),
          sigma,
          floor};
}

avatar::SpreadOverGrid spread_over_grid_of(int64_t rows, int64_t columns, int64_t count,
                                           uintptr_t y, uintptr_t x, uintptr_t points,
                                           uintptr_t values, uintptr_t weights, uintptr_t out,
                                           float sigma, float floor, uintptr_t scratch) {
  return {rows,
          columns,
          count,
          reinterpret_cast<const float *>(y),
          reinterpret_cast<const float *>(x),
          reinterpret_cast<const float *>(points),
          reinterpret_cast<const float *>(values),
          reinterpret_cast<const float *>(weights),
          reinterpret_cast<float *>(out),
          sigma,
          floor,
          reinterpret_cast<float *>(scratch)};
}

// Layers without their maps.
std::vector<avatar::Layer> layers_of(const std::vector<uintptr_t> &paints,
                                     const std::vector<int64_t> &sizes) {
  std::vector<avatar::Layer> layers(paints.size());
  for (size_t k = 0; k < layers.size(); ++k) {
    layers[k].paint = reinterpret_cast<const float *>(paints[k]);
    layers[k].size = sizes.at(k);
  }
  return layers;
}

avatar::Compose compose_of(int64_t height, int64_t width, uintptr_t photo, uintptr_t out,
                           const Four &region, uintptr_t positions, int64_t grid_height,
                           int64_t grid_width, const std::vector<avatar::Layer> &layers) {
  return {height,
          width,
          reinterpret_cast<const uint8_t *>(photo),
          reinterpret_cast<uint8_t *>(out),
          region[0],
          region[1],
          region[2],
          region[3],
          reinterpret_cast<const float *>(positions),
          grid_height,
          grid_width,
          layers.data(),
          int64_t(layers.size())};
}

#ifdef AVATAR_BINDINGS_CUDA

void check(int error) {
  if (error)
    throw std::runtime_error(std::string("CUDA: ") + avatar::cuda_error_text(error));
}

int64_t adain_scratch(int type, bool channels_last, const Four &sizes) {
  return avatar::cuda_adain_scratch(static_cast<avatar::Type>(type), channels_last, shape(sizes));
}

void adain(int type, bool channels_last, const Four &sizes, uintptr_t x, const Four &x_strides,
           uintptr_t residual, const Four &residual_strides, uintptr_t y, const Four &y_strides,
           uintptr_t scale, uintptr_t shift, float negative_slope, float eps, uintptr_t stream,
           uintptr_t scratch) {
  const auto args = adain_of(type, channels_last, sizes, x, x_strides, residual, residual_strides,
                             y, y_strides, scale, shift, negative_slope, eps);
  check(avatar::cuda_adain(args, reinterpret_cast<float *>(scratch), stream));
}

void adain_backward(int type, bool channels_last, const Four &sizes, uintptr_t grad, uintptr_t x,
                    uintptr_t y, uintptr_t grad_x, uintptr_t grad_residual, uintptr_t scale,
                    uintptr_t grad_scale, uintptr_t grad_shift, float negative_slope, float eps,
                    uintptr_t stream, uintptr_t scratch) {
  const avatar::AdainBackward args{static_cast<avatar::Type>(type),
                                   channels_last,
                                   shape(sizes),
                                   reinterpret_cast<const void *>(grad),
                                   reinterpret_cast<const void *>(x),
                                   reinterpret_cast<const void *>(y),
                                   reinterpret_cast<void *>(grad_x),
                                   reinterpret_cast<void *>(grad_residual),
                                   reinterpret_cast<const float *>(scale),
                                   reinterpret_cast<float *>(grad_scale),
                                   reinterpret_cast<float *>(grad_shift),
                                   negative_slope,
                                   eps};
  check(avatar::cuda_adain_backward(args, reinterpret_cast<float *>(scratch), stream));
}

void warp(int type, bool channels_last, const Four &sizes, uintptr_t image,
          const Four &image_strides, uintptr_t grid, int64_t grid_height, int64_t grid_width,
          uintptr_t y, const Four &y_strides, int64_t height, int64_t width, bool border,
          uintptr_t stream) {
  check(avatar::cuda_warp(warp_of(type, channels_last, sizes, image, image_strides, grid,
                                  grid_height, grid_width, y, y_strides, height, width, border),
                          stream));
}

void spread(int64_t batch, int64_t places, int64_t count, uintptr_t at, uintptr_t points,
            uintptr_t values, uintptr_t weights, uintptr_t out, float sigma, float floor,
            uintptr_t stream) {
  check(avatar::cuda_spread(
      spread_of(batch, places, count, at, points, values, weights, out, sigma, floor), stream));
}

void spread_over_grid(int64_t rows, int64_t columns, int64_t count, uintptr_t y, uintptr_t x,
                      uintptr_t points, uintptr_t values, uintptr_t weights, uintptr_t out,
                      float sigma, float floor, uintptr_t stream) {
  check(avatar::cuda_spread_over_grid(spread_over_grid_of(rows, columns, count, y, x, points,
                                                          values, weights, out, sigma, floor, 0),
                                      stream));
}

void compose(int64_t height, int64_t width, uintptr_t photo, uintptr_t out, const Four &region,
             uintptr_t positions, int64_t grid_height, int64_t grid_width,
             const std::vector<uintptr_t> &paints, const std::vector<int64_t> &sizes,
             uintptr_t to_paint, uintptr_t stream) {
  const auto layers = layers_of(paints, sizes);
  if (layers.size() > avatar::kMostCudaLayers)
    throw std::invalid_argument("too many layers");
  check(avatar::cuda_compose(
      compose_of(height, width, photo, out, region, positions, grid_height, grid_width, layers),
      reinterpret_cast<const float *>(to_paint), stream));
}

#else

int chosen = 0;

const avatar::CpuKernels &kernels() {
  int count = 0;
  return avatar::cpu_kernels(&count)[chosen];
}

std::vector<std::string> available() {
  int count = 0;
  const avatar::CpuKernels *all = avatar::cpu_kernels(&count);
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i)
    names.emplace_back(all[i].isa);
  return names;
}

void use_isa(const std::string &name) {
  const auto names = available();
  for (size_t i = 0; i < names.size(); ++i)
    if (names[i] == name) {
      chosen = int(i);
      return;
    }
  throw std::invalid_argument("this processor cannot run the kernels built for " + name);
}

void adain(int type, bool channels_last, const Four &sizes, uintptr_t x, const Four &x_strides,
           uintptr_t residual, const Four &residual_strides, uintptr_t y, const Four &y_strides,
           uintptr_t scale, uintptr_t shift, float negative_slope, float eps, int threads) {
  const auto args = adain_of(type, channels_last, sizes, x, x_strides, residual, residual_strides,
                             y, y_strides, scale, shift, negative_slope, eps);
  const py::gil_scoped_release released;
  kernels().adain(args, threads);
}

void warp(int type, bool channels_last, const Four &sizes, uintptr_t image,
          const Four &image_strides, uintptr_t grid, int64_t grid_height, int64_t grid_width,
          uintptr_t y, const Four &y_strides, int64_t height, int64_t width, bool border,
          int threads) {
  const auto args = warp_of(type, channels_last, sizes, image, image_strides, grid, grid_height,
                            grid_width, y, y_strides, height, width, border);
  const py::gil_scoped_release released;
  kernels().warp(args, threads);
}

void spread(int64_t batch, int64_t places, int64_t count, uintptr_t at, uintptr_t points,
            uintptr_t values, uintptr_t weights, uintptr_t out, float sigma, float floor,
            int threads) {
  const auto args = spread_of(batch, places, count, at, points, values, weights, out, sigma, floor);
  const py::gil_scoped_release released;
  kernels().spread(args, threads);
}

void signed_distance(int64_t batch, int64_t corners, int64_t size, uintptr_t polygon, uintptr_t out,
                     int threads) {
  const avatar::SignedDistance args{batch, corners, size, reinterpret_cast<const float *>(polygon),
                                    reinterpret_cast<float *>(out)};
  const py::gil_scoped_release released;
  kernels().signed_distance(args, threads);
}

void spread_over_grid(int64_t rows, int64_t columns, int64_t count, uintptr_t y, uintptr_t x,
                      uintptr_t points, uintptr_t values, uintptr_t weights, uintptr_t out,
                      float sigma, float floor, uintptr_t scratch, int threads) {
  const auto args = spread_over_grid_of(rows, columns, count, y, x, points, values, weights, out,
                                        sigma, floor, scratch);
  const py::gil_scoped_release released;
  kernels().spread_over_grid(args, threads);
}

void compose(int64_t height, int64_t width, uintptr_t photo, uintptr_t out, const Four &region,
             uintptr_t positions, int64_t grid_height, int64_t grid_width,
             const std::vector<uintptr_t> &paints, const std::vector<int64_t> &sizes,
             uintptr_t to_paint, int threads) {
  auto layers = layers_of(paints, sizes);
  for (size_t k = 0; k < layers.size(); ++k)
    std::memcpy(layers[k].to_paint, reinterpret_cast<const float *>(to_paint) + 6 * k,
                sizeof(layers[k].to_paint));
  const auto args =
      compose_of(height, width, photo, out, region, positions, grid_height, grid_width, layers);
  const py::gil_scoped_release released;
  kernels().compose(args, threads);
}

void yuv420(int64_t height, int64_t width, uintptr_t rgb, int64_t rgb_row, uintptr_t y,
            int64_t y_row, uintptr_t u, uintptr_t v, int64_t chroma_row, int64_t chroma_column,
            int threads) {
  const avatar::Yuv420 args{height,
                            width,
                            reinterpret_cast<const uint8_t *>(rgb),
                            rgb_row,
                            reinterpret_cast<uint8_t *>(y),
                            reinterpret_cast<uint8_t *>(u),
                            reinterpret_cast<uint8_t *>(v),
                            y_row,
                            chroma_row,
                            chroma_column};
  const py::gil_scoped_release released;
  kernels().yuv420(args, threads);
}

template <class T> T *at(uintptr_t address) { return reinterpret_cast<T *>(address); }

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

void chain(int type, uintptr_t maps, uintptr_t links, int64_t link_count, uintptr_t weights,
           uintptr_t biases, uintptr_t styles, uintptr_t picture, const Four &picture_strides,
           uintptr_t out, uintptr_t work, float negative_slope, float eps) {
  const avatar::Chain args{static_cast<avatar::Type>(type),
                           reinterpret_cast<const avatar::Map *>(maps),
                           reinterpret_cast<const avatar::Link *>(links),
                           link_count,
                           reinterpret_cast<const void *>(weights),
                           reinterpret_cast<const float *>(biases),
                           reinterpret_cast<const float *>(styles),
                           view(picture, picture_strides),
                           reinterpret_cast<float *>(out),
                           reinterpret_cast<void *>(work),
                           negative_slope,
                           eps};
  const py::gil_scoped_release released;
  kernels().chain(args);
}

void faded_shuffle(int64_t height, int64_t width, uintptr_t answer, int64_t answer_column,
                   uintptr_t border, uintptr_t out) {
  const avatar::FadedShuffle args{height,
                                  width,
                                  reinterpret_cast<const float *>(answer),
                                  answer_column,
                                  reinterpret_cast<const float *>(border),
                                  reinterpret_cast<float *>(out)};
  const py::gil_scoped_release released;
  kernels().faded_shuffle(args);
}

#endif

} // namespace

#ifdef AVATAR_BINDINGS_CUDA

PYBIND11_MODULE(_native_cuda, module) {
  module.doc() = "CUDA kernels; called through avatar.ops only.";
  module.def("adain_scratch", &adain_scratch);
  module.def("adain", &adain);
  module.def("adain_backward", &adain_backward);
  module.def("warp", &warp);
  module.def("spread", &spread);
  module.def("spread_over_grid", &spread_over_grid);
  module.def("compose", &compose);
  module.attr("most_layers") = int(avatar::kMostCudaLayers);
}

#else

PYBIND11_MODULE(_native, module) {
  module.doc() = "CPU kernels; called through avatar.ops only.";
  module.def("adain", &adain);
  module.def("warp", &warp);
  module.def("spread", &spread);
  module.def("signed_distance", &signed_distance);
  module.def("spread_over_grid", &spread_over_grid);
  module.def("compose", &compose);
  module.def("yuv420", &yuv420);
  module.def("tower", &tower);
  module.def("chain", &chain);
  module.def("faded_shuffle", &faded_shuffle);
  module.attr("chain_tiles") = avatar::kChainTiles;
  module.def("log_mel", &log_mel);
  module.def("mouth", &mouth);
  module.def("isa", [] { return std::string(kernels().isa); });
  module.def("available_isas", &available);
  module.def("use_isa", &use_isa);
}

#endif
