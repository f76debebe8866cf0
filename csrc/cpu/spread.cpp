// Normalised Gaussian interpolation of scattered displacements, a vector of places at a time.

#include <algorithm>
#include <cmath>
#include <vector>

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

// A multiple of every vector length.
inline int64_t padded_count(int64_t count) { return (count + 15) / 16 * 16; }

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

// The bell around each point's `axis` coordinate at `count` places, rounded up to whole vectors:
// [points, padded].
void bells(const SpreadOverGrid &a, int axis, int64_t k, const float *places, int64_t count,
           float *out) {
  const float rate = -0.5f / (a.sigma * a.sigma);
  const float own = axis == 1 && a.weights ? a.weights[k] : 1.0f;
  for (int64_t i = 0; i < padded_count(count); i += kLanes) {
    const int64_t left = count - i;
    const vfloat at = left < kLanes ? load_some(places + i, int(left)) : load(places + i);
    const vfloat d = at - a.points[2 * k + axis];
    store(out + i, exponential(d * d * rate) * own);
  }
}

constexpr int kRows = 4;

// Share of the floor below which a weight adds nothing worth its time.
constexpr float kNothing = 1e-8f;

// The nodes of kRows rows, by the points near them; what of it lies beyond the grid is not written.
void band(const SpreadOverGrid &a, const float *across, const float *down, int64_t row) {
  static thread_local std::vector<int32_t> near;
  near.clear();
  const int64_t wide = padded_count(a.columns), high = padded_count(a.rows);
  for (int64_t k = 0; k < a.count; ++k) {
    const float *own = down + k * high + row;
    // What is no number must be seen everywhere.
    const bool odd = !std::isfinite(a.values[2 * k] + a.values[2 * k + 1]);
    if (odd || !(*std::max_element(own, own + kRows) <= kNothing * a.floor))
      near.push_back(int32_t(k));
  }
  for (int64_t column = 0; column < a.columns; column += kLanes) {
    vfloat weight[kRows] = {}, x[kRows] = {}, y[kRows] = {};
    for (const int32_t k : near) {
      const vfloat bell = load(across + k * wide + column);
      const vfloat bell_x = bell * a.values[2 * k], bell_y = bell * a.values[2 * k + 1];
      const float *own = down + k * high + row;
      for (int i = 0; i < kRows; ++i) {
        weight[i] += bell * own[i];
        x[i] += bell_x * own[i];
        y[i] += bell_y * own[i];
      }
    }
    const int count = int(std::min<int64_t>(a.columns - column, kLanes));
    for (int i = 0; i < kRows && row + i < a.rows; ++i) {
      float *out = a.out + (row + i) * a.columns + column;
      store_some(out, x[i] / (weight[i] + a.floor), count);
      store_some(out + a.rows * a.columns, y[i] / (weight[i] + a.floor), count);
    }
  }
}

} // namespace

void spread_over_grid(const SpreadOverGrid &a, int threads) {
  const int64_t wide = padded_count(a.columns), high = padded_count(a.rows);
  float *across = a.scratch, *down = across + a.count * wide;
  const int64_t bands = (a.rows + kRows - 1) / kRows;
  const bool worth = threads > 1 && a.rows * a.columns * a.count > 65536;
#pragma omp parallel num_threads(threads) if (worth)
  {
#pragma omp for schedule(static)
    for (int64_t k = 0; k < a.count; ++k) {
      bells(a, 0, k, a.x, a.columns, across + k * wide);
      bells(a, 1, k, a.y, a.rows, down + k * high);
    }
    // By turns: the bands in the middle of a face have more points near them.
#pragma omp for schedule(static, 1)
    for (int64_t n = 0; n < bands; ++n)
      band(a, across, down, n * kRows);
  }
}

void spread(const Spread &a, int threads) {
  const int64_t blocks = (a.places + kLanes - 1) / kLanes, items = a.batch * blocks;
  const bool worth = threads > 1 && items * a.count > 4096;
#pragma omp parallel for schedule(static) num_threads(threads) if (worth)
  for (int64_t item = 0; item < items; ++item)
    block(a, item / blocks, item % blocks * kLanes);
}

} // namespace avatar::AVATAR_ISA
