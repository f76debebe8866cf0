// The module of the CPU kernels: which build of them runs, and those that take addresses.

#include <cstring>
#include <stdexcept>
#include <string>

#include "arguments.h"
#include "cpu.h"

namespace py = pybind11;

namespace {

int chosen = 0;

} // namespace

const avatar::CpuKernels &kernels() {
  int count = 0;
  return avatar::cpu_kernels(&count)[chosen];
}

namespace {

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

} // namespace

PYBIND11_MODULE(_native, module) {
  module.doc() = "CPU kernels; called through avatar.ops only.";
  module.def("adain", &adain);
  module.def("warp", &warp);
  module.def("spread", &spread);
  module.def("signed_distance", &signed_distance);
  module.def("spread_over_grid", &spread_over_grid);
  module.def("compose", &compose);
  module.def("yuv420", &yuv420);
  module.def("chain", &chain);
  module.def("faded_shuffle", &faded_shuffle);
  module.attr("chain_tiles") = avatar::kChainTiles;
  bind_numpy(module);
  bind_tensors(module);
  module.def("isa", [] { return std::string(kernels().isa); });
  module.def("available_isas", &available);
  module.def("use_isa", &use_isa);
}
