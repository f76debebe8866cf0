// Normalised Gaussian interpolation of scattered displacements: a thread a place, the points passed
// round in shared memory. The weights of points and places never reach memory.

#include "ops.h"

namespace avatar {
namespace {

constexpr int kThreads = 128;

struct Cloud {
  int count;
  const float *points, *values, *weights; // of one image
  float sigma, floor;
};

// All threads of the block take part.
__device__ float2 spread_at(const Cloud &cloud, float x, float y) {
  __shared__ float4 tile[kThreads]; // x, y and the displacement
  __shared__ float own[kThreads];
  const float rate = -0.5f / (cloud.sigma * cloud.sigma);
  float weights = 0.0f, across = 0.0f, down = 0.0f;
  for (int first = 0; first < cloud.count; first += kThreads) {
    const int k = first + threadIdx.x, left = min(kThreads, cloud.count - first);
    if (k < cloud.count) {
      tile[threadIdx.x] = {cloud.points[2 * k], cloud.points[2 * k + 1], cloud.values[2 * k],
                           cloud.values[2 * k + 1]};
      own[threadIdx.x] = cloud.weights ? cloud.weights[k] : 1.0f;
    }
    __syncthreads();
    for (int i = 0; i < left; ++i) {
      const float4 point = tile[i];
      const float dx = x - point.x, dy = y - point.y;
      const float weight = expf((dx * dx + dy * dy) * rate) * own[i];
      weights += weight;
      across += weight * point.z;
      down += weight * point.w;
    }
    __syncthreads();
  }
  weights += cloud.floor;
  return {across / weights, down / weights};
}

__global__ void __launch_bounds__(kThreads) places_kernel(Spread a) {
  const int64_t batch = blockIdx.y, place = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  const bool active = place < a.places;
  const float *at = a.at + (batch * a.places + place) * 2;
  const Cloud cloud = {int(a.count),
                       a.points + batch * a.count * 2,
                       a.values + batch * a.count * 2,
                       a.weights ? a.weights + batch * a.count : nullptr,
                       a.sigma,
                       a.floor};
  const float2 found = spread_at(cloud, active ? at[0] : 0.0f, active ? at[1] : 0.0f);
  if (!active)
    return;
  float *out = a.out + (batch * a.places + place) * 2;
  out[0] = found.x;
  out[1] = found.y;
}

__global__ void __launch_bounds__(kThreads) grid_kernel(SpreadOverGrid a) {
  const int64_t nodes = a.rows * a.columns;
  const int64_t node = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  const bool active = node < nodes;
  const Cloud cloud = {int(a.count), a.points, a.values, a.weights, a.sigma, a.floor};
  const float2 found = spread_at(cloud, active ? a.x[node % a.columns] : 0.0f,
                                 active ? a.y[node / a.columns] : 0.0f);
  if (!active)
    return;
  a.out[node] = found.x;
  a.out[nodes + node] = found.y;
}

unsigned blocks(int64_t places) { return unsigned((places + kThreads - 1) / kThreads); }

} // namespace

int cuda_spread(const Spread &a, uintptr_t stream) {
  const dim3 grid(blocks(a.places), unsigned(a.batch));
  places_kernel<<<grid, kThreads, 0, reinterpret_cast<cudaStream_t>(stream)>>>(a);
  return cudaGetLastError();
}

int cuda_spread_over_grid(const SpreadOverGrid &a, uintptr_t stream) {
  const unsigned grid = blocks(a.rows * a.columns);
  grid_kernel<<<grid, kThreads, 0, reinterpret_cast<cudaStream_t>(stream)>>>(a);
  return cudaGetLastError();
}

} // namespace avatar
