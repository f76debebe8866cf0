// Mean and variance of what comes in pieces, and what instance normalisation makes of them.
#pragma once

#include "vector.h"

namespace {

inline float inverse_root(float value) { return 1.0f / __builtin_sqrtf(value); }

inline vfloat inverse_root(vfloat value) {
  float all[kLanes]; // compilers see the vector in a loop over an array only
  store(all, value);
  for (int lane = 0; lane < kLanes; ++lane)
    all[lane] = inverse_root(all[lane]);
  return load(all);
}

inline vfloat positive(vfloat value) { return value < 0.0f ? vfloat{} : value; }

inline vfloat leaky(vfloat value, float slope) { return value > 0.0f ? value : value * slope; }

// How two sets of pixels are merged: the shares depend on their counts alone.
struct Merge {
  float mean, squares;

  Merge(float count, float other)
      : mean(other / (count + other)), squares(count * other / (count + other)) {}
};

// Mean and summed squared deviation of what was seen so far.
struct Moments {
  vfloat mean, squares;

  inline void merge(const Moments &other, const Merge &how) {
    const vfloat delta = other.mean - mean;
    mean += delta * how.mean;
    squares += other.squares + delta * delta * how.squares;
  }
};

} // namespace
