// The module of the CUDA kernels.

#include <stdexcept>
#include <string>

#include "arguments.h"

namespace {

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

} // namespace

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
