// Normalised Gaussian interpolation of scattered displacements, sixteen places at a time.

#include "ops.h"
#include "vector.h"

namespace avatar::AVATAR_ISA {
namespace {

// e^x for x <= 0 to 2e-7 of itself: 2^n e^r with |r| <= ln(2) / 2. Below -87 it stays at e^-87.
inline vfloat exponential(vfloat x) {
  x = x < -87.0f ? fill(-87.0f) : x;
  const vfloat magic = fill(12582912.0f); // 1.5 * 2^23: adding it rounds to an integer
  const vfloat shifted = x * 1.44269504f + magic;
  const vfloat n = shifted - magic;
  const vfloat r = x - n * 0.693145752f - n * 1.42860677e-6f;
  vfloat p = 1.9875691e-4f * r + 1.3981999e-3f;
  p = p * r + 8.3334519e-3f;
  p = p * r + 4.1665796e-2f;
  p = p * r + 1.6666665e-1f;
  p = p * r + 0.5f;
  p = p * r * r + r + 1.0f;
  return p * bit_cast<vfloat>((bit_cast<vint>(shifted) - 0x4b400000 + 127) << 23);
}

void block(const Spread &a, int64_t batch, int64_t first) {
  const int64_t left = a.places - first;
  const int count = int(left < kLanes ? left : kLanes);
  const float *at = a.at + (batch * a.places + first) * 2;
  const float *points = a.points + batch * a.count * 2, *values = a.values + batch * a.count * 2;
  const float *own = a.weights ? a.weights + batch * a.count : nullptr;
  vfloat x = {}, y = {}, weights = {}, across = {}, down = {};
  for (int i = 0; i < count; ++i) {
    x[i] = at[2 * i];
    y[i] = at[2 * i + 1];
  }
  const float rate = -0.5f / (a.sigma * a.sigma);
  for (int64_t k = 0; k < a.count; ++k) {
    const vfloat dx = x - points[2 * k], dy = y - points[2 * k + 1];
    const vfloat near = exponential((dx * dx + dy * dy) * rate);
    const vfloat weight = own ? near * own[k] : near;
    weights += weight;
    across += weight * values[2 * k];
    down += weight * values[2 * k + 1];
  }
  weights += a.floor;
  across /= weights;
  down /= weights;
  float *out = a.out + (batch * a.places + first) * 2;
  for (int i = 0; i < count; ++i) {
    out[2 * i] = across[i];
    out[2 * i + 1] = down[i];
  }
}

} // namespace

void spread(const Spread &a, int threads) {
  const int64_t blocks = (a.places + kLanes - 1) / kLanes, items = a.batch * blocks;
  const bool worth = threads > 1 && items * a.count > 4096;
#pragma omp parallel for schedule(static) num_threads(threads) if (worth)
  for (int64_t item = 0; item < items; ++item)
    block(a, item / blocks, item % blocks * kLanes);
}

} // namespace avatar::AVATAR_ISA
