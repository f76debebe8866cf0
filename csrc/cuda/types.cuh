// Values in memory and in registers: sixteen bytes at a time where alignment allows, else one.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

namespace avatar {

__device__ inline float to_float(float value) { return value; }
__device__ inline float to_float(__half value) { return __half2float(value); }
__device__ inline float to_float(__nv_bfloat16 value) { return __bfloat162float(value); }
__device__ inline float to_float(uint8_t value) { return float(value); }

template <class T> __device__ inline T from_float(float value);
template <> __device__ inline float from_float(float value) { return value; }
template <> __device__ inline __half from_float(float value) { return __float2half_rn(value); }
template <> __device__ inline __nv_bfloat16 from_float(float value) {
  return __float2bfloat16_rn(value);
}
// Rounds half to even; NaN becomes 0.
template <> __device__ inline uint8_t from_float(float value) {
  return uint8_t(__float2int_rn(fminf(fmaxf(value, 0.0f), 255.0f)));
}

template <class T, int width> struct alignas(sizeof(T) * width) Pack {
  T values[width];
};

template <int width, class T> __device__ inline void load(const T *from, float (&to)[width]) {
  const Pack<T, width> pack = *reinterpret_cast<const Pack<T, width> *>(from);
#pragma unroll
  for (int i = 0; i < width; ++i)
    to[i] = to_float(pack.values[i]);
}

template <int width, class T> __device__ inline void store(T *to, const float (&from)[width]) {
  Pack<T, width> pack;
#pragma unroll
  for (int i = 0; i < width; ++i)
    pack.values[i] = from_float<T>(from[i]);
  *reinterpret_cast<Pack<T, width> *>(to) = pack;
}

inline bool aligned(const void *data) { return reinterpret_cast<uintptr_t>(data) % 16 == 0; }

// Elements of `size` bytes a thread takes at once, if rows of `row` elements can be cut so.
inline bool packs(int64_t row, size_t size, std::initializer_list<const void *> arrays) {
  if (row % int64_t(16 / size))
    return false;
  for (const void *array : arrays)
    if (!aligned(array))
      return false;
  return true;
}

} // namespace avatar
