// What the exercises of the kernels share: numbers at random, arrays that end where their data end,
// and the comparison of the builds.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "ops.h"

using avatar::CpuKernels;
using avatar::Type;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr Type kTypes[] = {Type::f32, Type::bf16, Type::u8};

inline std::mt19937 random_bits(1);

inline float uniform(float low, float high) {
  return std::uniform_real_distribution<float>(low, high)(random_bits);
}

inline std::vector<float> floats(int64_t count, float low = -2.0f, float high = 2.0f) {
  std::vector<float> all(count);
  for (float &value : all)
    value = uniform(low, high);
  return all;
}

inline std::vector<uint8_t> bytes(int64_t count) {
  std::vector<uint8_t> all(count);
  for (uint8_t &value : all)
    value = uint8_t(random_bits());
  return all;
}

// Where torch would put an array: at a multiple of 64 bytes.
template <class T> struct Aligned {
  using value_type = T;
  static constexpr std::align_val_t kBytes{64};

  T *allocate(size_t count) { return static_cast<T *>(::operator new(count * sizeof(T), kBytes)); }
  void deallocate(T *data, size_t) { ::operator delete(data, kBytes); }
  bool operator==(const Aligned &) const { return true; }
  bool operator!=(const Aligned &) const { return false; }
};

// Numbers as a kernel keeps them.
class Array {
public:
  Array(Type type, int64_t count) : type(type), data(count * size()) {}

  static Array random(Type type, int64_t count) {
    Array made(type, count);
    for (int64_t i = 0; i < count; ++i) {
      const float value = uniform(-2.0f, 2.0f);
      uint32_t bits;
      std::memcpy(&bits, &value, sizeof(bits));
      if (type == Type::f32)
        std::memcpy(made.data.data() + 4 * i, &bits, 4);
      else if (type == Type::bf16)
        std::memcpy(made.data.data() + 2 * i, reinterpret_cast<const char *>(&bits) + 2, 2);
      else
        made.data[i] = uint8_t(bits);
    }
    return made;
  }

  int64_t size() const { return type == Type::f32 ? 4 : type == Type::bf16 ? 2 : 1; }

  std::vector<float> values() const {
    std::vector<float> all(data.size() / size());
    for (size_t i = 0; i < all.size(); ++i) {
      uint32_t bits = 0;
      if (type == Type::f32)
        std::memcpy(&bits, data.data() + 4 * i, 4);
      else if (type == Type::bf16)
        std::memcpy(reinterpret_cast<char *>(&bits) + 2, data.data() + 2 * i, 2);
      std::memcpy(&all[i], &bits, sizeof(bits));
      if (type == Type::u8)
        all[i] = float(data[i]);
    }
    return all;
  }

  Type type;
  std::vector<uint8_t, Aligned<uint8_t>> data;
};

// Strides of [batch, channels, height, width] with `gap` elements more in a row than it needs.
struct Layout {
  int64_t channel, row, column, batch;

  Layout(bool last, int64_t channels, int64_t height, int64_t width, int64_t gap = 0)
      : channel(last ? 1 : height * (width + gap)),
        row(last ? width * channels + gap : width + gap), column(last ? channels : 1),
        batch(last ? height * row : channels * channel) {}

  avatar::View of(Array &array) const { return {array.data.data(), batch, channel, row, column}; }
};

using Run = std::function<std::vector<float>(const CpuKernels &, int threads)>;

// Ends with 1 where a build differs from the portable one by more than `limit`, or gives other bits
// with another number of threads.
void compare(const std::string &name, float limit, const Run &run);

void exercise_images();
void exercise_networks();
