// Bilinear sampling at positions interpolated between control nodes: one thread a pixel and a pack
// of channels (channels-last), or a pixel and a run of planes.

#include "ops.h"
#include "types.cuh"

namespace avatar {
namespace {

constexpr int kThreads = 256;
constexpr int kPlanes = 8; // planes of a thread

struct Node {
  int64_t low, high;
  float fraction;
};

__device__ Node node(int64_t pixel, int64_t nodes, int64_t size) {
  const float step = size > 1 ? float(nodes - 1) / float(size - 1) : 0.0f;
  const float position = float(pixel) * step;
  const int64_t low = min(int64_t(position), nodes - 1);
  return {low, min(low + 1, nodes - 1), position - float(low)};
}

// The two neighbours on one axis, always inside the image, and their weights.
struct Axis {
  int64_t low, high;
  float low_weight, high_weight;
};

__device__ Axis axis(float given, int64_t size, bool border) {
  const float last = float(size - 1);
  const float position =
      border ? fminf(fmaxf(given, 0.0f), last) : fminf(fmaxf(given, -2.0f), last + 2.0f);
  const float floored = floorf(position);
  const int64_t low = int64_t(floored), high = low + 1;
  const bool unknown = given != given;
  const float fraction = unknown ? given : position - floored;
  Axis out = {max(int64_t(0), min(low, size - 1)), max(int64_t(0), min(high, size - 1)),
              1.0f - fraction, fraction};
  if (!border && !unknown) {
    out.low_weight = low == out.low ? out.low_weight : 0.0f;
    out.high_weight = high == out.high ? out.high_weight : 0.0f;
  }
  return out;
}

struct Corners {
  int64_t offset[4]; // in pixels
  float weight[4];
  bool inside;
};

__device__ Corners locate(const Warp &a, int64_t batch, int64_t h, int64_t w) {
  const Node v = node(h, a.grid_height, a.height), u = node(w, a.grid_width, a.width);
  const int64_t plane = a.grid_height * a.grid_width;
  const float *grid = a.grid + batch * 2 * plane;
  float position[2];
  for (int k = 0; k < 2; ++k, grid += plane) {
    const float *top = grid + v.low * a.grid_width, *bottom = grid + v.high * a.grid_width;
    // A node that is met exactly is taken alone: its neighbour may be NaN.
    const float left = v.fraction == 0.0f
                           ? top[u.low]
                           : (1.0f - v.fraction) * top[u.low] + v.fraction * bottom[u.low];
    const float right = v.fraction == 0.0f
                            ? top[u.high]
                            : (1.0f - v.fraction) * top[u.high] + v.fraction * bottom[u.high];
    position[k] = u.fraction == 0.0f ? left : (1.0f - u.fraction) * left + u.fraction * right;
  }
  const Axis x = axis(position[0], a.image_shape.width, a.border);
  const Axis y = axis(position[1], a.image_shape.height, a.border);
  const int64_t top = y.low * a.image_shape.width, bottom = y.high * a.image_shape.width;
  Corners out = {{top + x.low, top + x.high, bottom + x.low, bottom + x.high},
                 {y.low_weight * x.low_weight, y.low_weight * x.high_weight,
                  y.high_weight * x.low_weight, y.high_weight * x.high_weight},
                 false};
  out.inside = out.weight[0] + out.weight[1] + out.weight[2] + out.weight[3] != 0.0f;
  return out;
}

template <class T, int width> __global__ void __launch_bounds__(kThreads) pixels_kernel(Warp a) {
  const int64_t packs = a.image_shape.channels / width;
  const int64_t all = a.image_shape.batch * a.height * a.width * packs;
  for (int64_t i = blockIdx.x * int64_t(kThreads) + threadIdx.x; i < all;
       i += int64_t(gridDim.x) * kThreads) {
    const int64_t pixel = i / packs, channel = i % packs * width;
    const int64_t w = pixel % a.width, h = pixel / a.width % a.height,
                  batch = pixel / (a.width * a.height);
    const Corners corners = locate(a, batch, h, w);
    const T *image = static_cast<const T *>(a.image.data) +
                     batch * a.image_shape.height * a.image_shape.width * a.image_shape.channels +
                     channel;
    float value[width] = {};
    if (corners.inside) {
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        float sample[width];
        load<width>(image + corners.offset[k] * a.image_shape.channels, sample);
#pragma unroll
        for (int c = 0; c < width; ++c)
          value[c] += sample[c] * corners.weight[k];
      }
    }
    store<width>(static_cast<T *>(a.y.data) + pixel * a.image_shape.channels + channel, value);
  }
}

template <class T> __global__ void __launch_bounds__(kThreads) planes_kernel(Warp a) {
  const int64_t area = a.height * a.width, image_area = a.image_shape.height * a.image_shape.width;
  const int64_t batch = blockIdx.z;
  const int64_t first = int64_t(blockIdx.y) * kPlanes;
  const int64_t end = min(first + kPlanes, a.image_shape.channels);
  for (int64_t pixel = blockIdx.x * int64_t(kThreads) + threadIdx.x; pixel < area;
       pixel += int64_t(gridDim.x) * kThreads) {
    const Corners corners = locate(a, batch, pixel / a.width, pixel % a.width);
    for (int64_t channel = first; channel < end; ++channel) {
      const int64_t plane = batch * a.image_shape.channels + channel;
      const T *image = static_cast<const T *>(a.image.data) + plane * image_area;
      float value = 0.0f;
      if (corners.inside)
#pragma unroll
        for (int k = 0; k < 4; ++k)
          value += to_float(image[corners.offset[k]]) * corners.weight[k];
      static_cast<T *>(a.y.data)[plane * area + pixel] = from_float<T>(value);
    }
  }
}

unsigned blocks(int64_t threads) {
  const int64_t needed = (threads + kThreads - 1) / kThreads;
  return unsigned(needed < 1 << 20 ? needed : 1 << 20);
}

template <class T> int run(const Warp &a, cudaStream_t stream) {
  constexpr int width = 16 / sizeof(T);
  const int64_t pixels = a.height * a.width, channels = a.image_shape.channels;
  if (!a.channels_last) {
    const dim3 grid(blocks(pixels), unsigned((channels + kPlanes - 1) / kPlanes),
                    unsigned(a.image_shape.batch));
    planes_kernel<T><<<grid, kThreads, 0, stream>>>(a);
  } else if (packs(channels, sizeof(T), {a.image.data, a.y.data})) {
    pixels_kernel<T, width>
        <<<blocks(a.image_shape.batch * pixels * channels / width), kThreads, 0, stream>>>(a);
  } else {
    pixels_kernel<T, 1>
        <<<blocks(a.image_shape.batch * pixels * channels), kThreads, 0, stream>>>(a);
  }
  return cudaGetLastError();
}

} // namespace

int cuda_warp(const Warp &a, uintptr_t stream) {
  const auto on = reinterpret_cast<cudaStream_t>(stream);
  switch (a.type) {
  case Type::f32:
    return run<float>(a, on);
  case Type::bf16:
    return run<__nv_bfloat16>(a, on);
  case Type::f16:
    return run<__half>(a, on);
  default:
    return run<uint8_t>(a, on);
  }
}

} // namespace avatar
