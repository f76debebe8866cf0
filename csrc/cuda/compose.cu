// A whole picture in one launch: a thread copies, warps and paints over one pixel.

#include "locate.cuh"
#include "types.cuh"

namespace avatar {
namespace {

constexpr int kColumns = 32, kRows = 8;

struct Layers {
  int count;
  const float *paint[kMostCudaLayers]; // [4, size, size]
  int size[kMostCudaLayers];
  const float *to_paint; // [count, 2, 3], on the device
};

struct Picture {
  int height, width, left, top, right, bottom;
  const uint8_t *photo;
  uint8_t *out;
};

__device__ float to_level(float value) { return float(from_float<uint8_t>(value)); }

// Bilinear; zero from one step outside on. NaN places give NaN.
__device__ float4 sample(const float *paint, int size, float u, float v) {
  if (u != u || v != v)
    return {u + v, u + v, u + v, u + v};
  const float left = floorf(u), top = floorf(v);
  const int column = int(left), row = int(top);
  const float x_share[2] = {1.0f - (u - left), u - left}, y_share[2] = {1.0f - (v - top), v - top};
  float value[4] = {};
#pragma unroll
  for (int corner = 0; corner < 4; ++corner) {
    const int x = column + corner % 2, y = row + corner / 2;
    if (x < 0 || y < 0 || x >= size || y >= size)
      continue;
#pragma unroll
    for (int c = 0; c < 4; ++c)
      value[c] += paint[(c * size + y) * size + x] * (x_share[corner % 2] * y_share[corner / 2]);
  }
  return {value[0], value[1], value[2], value[3]};
}

__device__ void lay(const Layers &layers, int k, float x, float y, float (&rgb)[3]) {
  const float *m = layers.to_paint + 6 * k, size = float(layers.size[k]);
  const float u = m[0] * x + (m[1] * y + m[2]), v = m[3] * x + (m[4] * y + m[5]);
  if (u <= -1.0f || v <= -1.0f || u >= size || v >= size) {
    if (u == u && v == v)
      return;
  }
  const float4 laid = sample(layers.paint[k], layers.size[k], u, v);
  const float colour[3] = {laid.x, laid.y, laid.z};
#pragma unroll
  for (int c = 0; c < 3; ++c)
    rgb[c] = to_level(rgb[c] * (1.0f - laid.w) + colour[c]);
}

__global__ void __launch_bounds__(kColumns *kRows)
    compose_kernel(Picture a, Warp warp, Layers layers) {
  const int x = blockIdx.x * kColumns + threadIdx.x, y = blockIdx.y * kRows + threadIdx.y;
  if (x >= a.width || y >= a.height)
    return;
  const int64_t pixel = (int64_t(y) * a.width + x) * 3;
  if (x < a.left || x >= a.right || y < a.top || y >= a.bottom) {
    for (int c = 0; c < 3; ++c)
      a.out[pixel + c] = a.photo[pixel + c];
    return;
  }
  const Corners corners = locate(warp, 0, y - a.top, x - a.left);
  float rgb[3];
#pragma unroll
  for (int c = 0; c < 3; ++c) {
    float value = 0.0f;
#pragma unroll
    for (int k = 0; k < 4; ++k)
      value += float(a.photo[int64_t(corners.offset[k]) * 3 + c]) * corners.weight[k];
    rgb[c] = to_level(value);
  }
  for (int k = 0; k < layers.count; ++k)
    lay(layers, k, float(x), float(y), rgb);
#pragma unroll
  for (int c = 0; c < 3; ++c)
    a.out[pixel + c] = uint8_t(rgb[c]);
}

} // namespace

int cuda_compose(const Compose &a, const float *to_paint, uintptr_t stream) {
  const Picture picture = {int(a.height), int(a.width),  int(a.left), int(a.top),
                           int(a.right),  int(a.bottom), a.photo,     a.out};
  Warp warp = {};
  warp.image_shape = {1, 3, a.height, a.width};
  warp.height = a.bottom - a.top;
  warp.width = a.right - a.left;
  warp.grid = a.positions;
  warp.grid_height = a.grid_height;
  warp.grid_width = a.grid_width;
  warp.border = true;
  Layers layers = {};
  layers.count = int(a.layer_count);
  layers.to_paint = to_paint;
  for (int k = 0; k < layers.count; ++k) {
    layers.paint[k] = a.layers[k].paint;
    layers.size[k] = int(a.layers[k].size);
  }
  const dim3 grid(unsigned((a.width + kColumns - 1) / kColumns),
                  unsigned((a.height + kRows - 1) / kRows));
  compose_kernel<<<grid, dim3(kColumns, kRows), 0, reinterpret_cast<cudaStream_t>(stream)>>>(
      picture, warp, layers);
  return cudaGetLastError();
}

} // namespace avatar
