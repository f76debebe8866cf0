// Bilinear sampling at positions interpolated between control nodes.
//
// Channels-last: a block takes a tile of pixels of one image, finds the corners of each once, in
// shared memory, and then shares the channels of all of them between its threads, sixteen bytes at
// a time. Planes: a thread takes a pixel and a run of planes.

#include "locate.cuh"
#include "types.cuh"

namespace avatar {
namespace {

constexpr int kThreads = 256;
constexpr int kPlanes = 8; // planes of a thread
constexpr int kMostPixels = 64, kFewestPixels = 8;
constexpr int kEnoughBlocks = 512;

template <class T, int width>
__global__ void __launch_bounds__(kThreads) pixels_kernel(Warp a, int tile) {
  __shared__ Corners corners[kMostPixels];
  const int64_t batch = blockIdx.y, area = a.height * a.width;
  const int64_t begin = int64_t(blockIdx.x) * tile;
  const int count = int(min(int64_t(tile), area - begin));
  for (int i = threadIdx.x; i < count; i += kThreads) {
    const unsigned pixel = unsigned(begin) + i, columns = unsigned(a.width);
    corners[i] = locate(a, batch, pixel / columns, pixel % columns);
  }
  __syncthreads();
  const int channels = int(a.image_shape.channels), packs = channels / width;
  const T *image = static_cast<const T *>(a.image.data) +
                   batch * a.image_shape.height * a.image_shape.width * channels;
  T *y = static_cast<T *>(a.y.data) + (batch * area + begin) * channels;
  // Stepping from item to item saves a division for each.
  const int pixels_ahead = kThreads / packs, packs_ahead = kThreads % packs;
  int pixel = threadIdx.x / packs, pack = threadIdx.x % packs;
#pragma unroll 2
  while (pixel < count) {
    const Corners &from = corners[pixel];
    const int channel = pack * width;
    float value[width] = {};
    if (from.inside) {
      float sample[4][width];
#pragma unroll
      for (int k = 0; k < 4; ++k)
        load<width>(image + (from.offset[k] * channels + channel), sample[k]);
#pragma unroll
      for (int k = 0; k < 4; ++k)
#pragma unroll
        for (int c = 0; c < width; ++c)
          value[c] += sample[k][c] * from.weight[k];
    }
    store<width>(y + (pixel * channels + channel), value);
    pixel += pixels_ahead;
    pack += packs_ahead;
    if (pack >= packs) {
      pack -= packs;
      ++pixel;
    }
  }
}

template <class T> __global__ void __launch_bounds__(kThreads) planes_kernel(Warp a) {
  const int64_t area = a.height * a.width, image_area = a.image_shape.height * a.image_shape.width;
  const int64_t batch = blockIdx.z;
  const int64_t first = int64_t(blockIdx.y) * kPlanes;
  const int64_t end = min(first + kPlanes, a.image_shape.channels);
  for (int64_t pixel = blockIdx.x * int64_t(kThreads) + threadIdx.x; pixel < area;
       pixel += int64_t(gridDim.x) * kThreads) {
    const unsigned columns = unsigned(a.width);
    const Corners corners = locate(a, batch, unsigned(pixel) / columns, unsigned(pixel) % columns);
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

template <class T, int width> void by_pixels(const Warp &a, cudaStream_t stream) {
  const int64_t area = a.height * a.width, batch = a.image_shape.batch;
  int tile = kMostPixels;
  while (tile > kFewestPixels && batch * area / tile < kEnoughBlocks)
    tile /= 2;
  const dim3 grid(unsigned((area + tile - 1) / tile), unsigned(batch));
  pixels_kernel<T, width><<<grid, kThreads, 0, stream>>>(a, tile);
}

template <class T> int run(const Warp &a, cudaStream_t stream) {
  const int64_t channels = a.image_shape.channels;
  if (!a.channels_last) {
    const dim3 grid(blocks(a.height * a.width), unsigned((channels + kPlanes - 1) / kPlanes),
                    unsigned(a.image_shape.batch));
    planes_kernel<T><<<grid, kThreads, 0, stream>>>(a);
  } else if (packs(channels, sizeof(T), {a.image.data, a.y.data})) {
    by_pixels<T, 16 / sizeof(T)>(a, stream);
  } else {
    by_pixels<T, 1>(a, stream);
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
