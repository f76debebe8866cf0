// What the two modules take alike: numbers and addresses become the arguments of a kernel.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <vector>

#include "ops.h"

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

inline avatar::View view(uintptr_t data, const Four &strides) {
  return {reinterpret_cast<void *>(data), strides[0], strides[1], strides[2], strides[3]};
}

inline avatar::Shape shape(const Four &sizes) { return {sizes[0], sizes[1], sizes[2], sizes[3]}; }

inline avatar::Adain adain_of(int type, bool channels_last, const Four &sizes, uintptr_t x,
                              const Four &x_strides, uintptr_t residual,
                              const Four &residual_strides, uintptr_t y, const Four &y_strides,
                              uintptr_t scale, uintptr_t shift, float negative_slope, float eps) {
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

inline avatar::Warp warp_of(int type, bool channels_last, const Four &sizes, uintptr_t image,
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

inline avatar::Spread spread_of(int64_t batch, int64_t places, int64_t count, uintptr_t at,
                                uintptr_t points, uintptr_t values, uintptr_t weights,
                                uintptr_t out, float sigma, float floor) {
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

inline avatar::SpreadOverGrid spread_over_grid_of(int64_t rows, int64_t columns, int64_t count,
                                                  uintptr_t y, uintptr_t x, uintptr_t points,
                                                  uintptr_t values, uintptr_t weights,
                                                  uintptr_t out, float sigma, float floor,
                                                  uintptr_t scratch) {
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
inline std::vector<avatar::Layer> layers_of(const std::vector<uintptr_t> &paints,
                                            const std::vector<int64_t> &sizes) {
  std::vector<avatar::Layer> layers(paints.size());
  for (size_t k = 0; k < layers.size(); ++k) {
    layers[k].paint = reinterpret_cast<const float *>(paints[k]);
    layers[k].size = sizes.at(k);
  }
  return layers;
}

inline avatar::Compose compose_of(int64_t height, int64_t width, uintptr_t photo, uintptr_t out,
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

} // namespace
