// Stores that leave the caches alone. A result that is larger than what the caches still hold of it
// when it is next read is written straight to memory: otherwise each of its lines is first read,
// and what the kernel has yet to read is pushed out.
#pragma once

#include "ops.h"
#include "vector.h"

namespace {

// Measured with 32 MB of shared cache: 8 MB take an eighth longer while nobody else uses it, and
// half as long where others do; 12 MB are faster either way.
constexpr int64_t kStreamedBytes = 6 << 20;

// Whether `view`, a channels-last result, is to be streamed: it is large, and vectors of it are
// aligned.
template <class T> bool streams(const avatar::View &view, const avatar::Shape &shape) {
  const int64_t numbers = shape.batch * shape.channels * shape.height * shape.width;
  const int64_t steps = view.batch | view.row | view.column | shape.channels;
  const int64_t misaligned = int64_t(reinterpret_cast<uintptr_t>(view.data)) | steps * sizeof(T);
  return numbers * int64_t(sizeof(T)) > kStreamedBytes && misaligned % sizeof(vfloat) == 0;
}

inline void stream(float *to, vfloat value) {
#if defined(__AVX512F__)
  _mm512_stream_ps(to, bit_cast<__m512>(value));
#elif defined(__AVX2__)
  _mm256_stream_ps(to, bit_cast<__m256>(value));
#else
  store(to, value);
#endif
}

inline void stream_two(float *to, Two values) {
  stream(to, values.first);
  stream(to + kLanes, values.second);
}

inline void stream_two(bf16 *to, Two values) {
  bf16 all[2 * kLanes];
  store_two(all, values);
  vfloat words;
  std::memcpy(&words, all, sizeof(words));
  stream(reinterpret_cast<float *>(to), words);
}

inline void stream_two(uint8_t *to, Two values) { store_two(to, values); }

// Afterwards other threads see what this one streamed.
inline void end_streaming() {
#if defined(__AVX512F__) || defined(__AVX2__)
  _mm_sfence();
#endif
}

} // namespace
