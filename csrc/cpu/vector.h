// As many floats at a time as one register of the target holds, and the types kept in memory.
//
// Wider vectors would compile too, but GCC takes comparisons of them apart, lane by lane.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

typedef float vfloat __attribute__((vector_size(4 * kLanes)));
typedef int32_t vint __attribute__((vector_size(4 * kLanes)));
typedef uint32_t vuint __attribute__((vector_size(4 * kLanes)));
typedef uint16_t vhalf __attribute__((vector_size(2 * kLanes)));
typedef uint8_t vbyte __attribute__((vector_size(kLanes)));

struct bf16 {
  uint16_t bits;
};

template <class To, class From> inline To bit_cast(From from) {
  static_assert(sizeof(To) == sizeof(From), "");
  To to;
  std::memcpy(&to, &from, sizeof(to));
  return to;
}

inline vfloat fill(float value) { return value - vfloat{}; }

// 0, 1, 2, ...
inline vint lane_numbers() {
  vint numbers = {};
  for (int lane = 0; lane < kLanes; ++lane)
    numbers[lane] = lane;
  return numbers;
}

inline float to_float(float value) { return value; }
inline float to_float(bf16 value) { return bit_cast<float>(uint32_t(value.bits) << 16); }
inline float to_float(uint8_t value) { return float(value); }

inline vfloat load(const float *from) {
  vfloat value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

// By name where there is an instruction for it: GCC widens in two halves.
inline vuint widened(const bf16 *from) {
#if defined(__AVX512F__)
  return bit_cast<vuint>(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)from)));
#elif defined(__AVX2__)
  return bit_cast<vuint>(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)from)));
#else
  vhalf bits;
  std::memcpy(&bits, from, sizeof(bits));
  return __builtin_convertvector(bits, vuint);
#endif
}

inline vfloat load(const bf16 *from) { return bit_cast<vfloat>(widened(from) << 16); }

inline vfloat load(const uint8_t *from) {
  vbyte bits;
  std::memcpy(&bits, from, sizeof(bits));
  return __builtin_convertvector(__builtin_convertvector(bits, vint), vfloat);
}

inline void store(float *to, vfloat value) { std::memcpy(to, &value, sizeof(value)); }

// Rounded to the upper half of each word, half to even; the lower half is left over.
inline vuint rounded_to_bf16(vfloat value) {
  const vuint bits = bit_cast<vuint>(value);
  return value == value ? bits + 0x7fff + ((bits >> 16) & 1) : vuint{} + 0x7fc00000u;
}

inline void store(bf16 *to, vfloat value) {
#if defined(__AVX512BF16__)
  const __m256bh half = _mm512_cvtneps_pbh(bit_cast<__m512>(value));
#else
  const vhalf half = __builtin_convertvector(rounded_to_bf16(value) >> 16, vhalf);
#endif
  std::memcpy(to, &half, sizeof(half));
}

// 2 * kLanes neighbours in the order that costs least: of bf16 the even ones, then the odd ones.
struct Two {
  vfloat first, second;
};

inline Two load_two(const float *from) { return {load(from), load(from + kLanes)}; }

inline Two load_two(const bf16 *from) {
  vuint words;
  std::memcpy(&words, from, sizeof(words));
  return {bit_cast<vfloat>(words << 16), bit_cast<vfloat>(words & 0xffff0000u)};
}

inline Two load_two(const uint8_t *from) { return {load(from), load(from + kLanes)}; }

inline void store_two(float *to, Two values) {
  store(to, values.first);
  store(to + kLanes, values.second);
}

inline void store_two(bf16 *to, Two values) {
#if defined(__AVX512BF16__)
  typedef uint16_t halves __attribute__((vector_size(4 * kLanes)));
  const halves apart = bit_cast<halves>(
      _mm512_cvtne2ps_pbh(bit_cast<__m512>(values.second), bit_cast<__m512>(values.first)));
  const halves index = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                        8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  const halves words = __builtin_shuffle(apart, index);
#else
  const vuint words =
      rounded_to_bf16(values.first) >> 16 | (rounded_to_bf16(values.second) & 0xffff0000u);
#endif
  std::memcpy(to, &words, sizeof(words));
}

// Floats that belong to neighbours of type T, in the order of their load_two.
template <class T> inline Two in_order_of(const float *from);
template <> inline Two in_order_of<float>(const float *from) { return load_two(from); }
template <> inline Two in_order_of<bf16>(const float *from) {
  const vint even = 2 * lane_numbers();
  const Two plain = load_two(from);
  return {__builtin_shuffle(plain.first, plain.second, even),
          __builtin_shuffle(plain.first, plain.second, even + 1)};
}

// Rounds half to even, as torch.round does; NaN becomes 0.
inline vuint to_bytes(vfloat value) {
  value = value > 0.0f ? value : vfloat{};
  value = value < 255.0f ? value : fill(255.0f);
  return bit_cast<vuint>(value + 8388608.0f) & 0xff; // 2^23: the integer is left in the low bits
}

inline void store(uint8_t *to, vfloat value) {
  const vbyte bytes = __builtin_convertvector(to_bytes(value), vbyte);
  std::memcpy(to, &bytes, sizeof(bytes));
}

inline void store_two(uint8_t *to, Two values) {
  store(to, values.first);
  store(to + kLanes, values.second);
}

// Thirty-two bits from each of kLanes places, `offset` bytes from `base`, aligned or not.
inline vuint gather_words(const void *base, vint offset) {
#if defined(__AVX512F__)
  return bit_cast<vuint>(_mm512_i32gather_epi32(bit_cast<__m512i>(offset), base, 1));
#elif defined(__AVX2__)
  return bit_cast<vuint>(
      _mm256_i32gather_epi32(static_cast<const int *>(base), bit_cast<__m256i>(offset), 1));
#else
  vuint words;
  for (int lane = 0; lane < kLanes; ++lane) {
    uint32_t word;
    std::memcpy(&word, static_cast<const char *>(base) + offset[lane], sizeof(word));
    words[lane] = word;
  }
  return words;
#endif
}

// The elements of `base` at kLanes indices.
inline vfloat gather(const float *base, vint index) {
  return bit_cast<vfloat>(gather_words(base, index * int(sizeof(float))));
}

template <class T> inline vfloat gather(const T *base, vint index) {
  vfloat value;
  for (int lane = 0; lane < kLanes; ++lane)
    value[lane] = to_float(base[index[lane]]);
  return value;
}

template <class T> inline vfloat load_some(const T *from, int count) {
  vfloat value = {};
  for (int i = 0; i < count; ++i)
    value[i] = to_float(from[i]);
  return value;
}

template <class T> inline void store_some(T *to, vfloat value, int count) {
  T all[kLanes];
  store(all, value);
  std::memcpy(to, all, sizeof(T) * count);
}

} // namespace
