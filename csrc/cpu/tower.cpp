// Layers of a small network that hears a stream: one vector in, one out, weights in bfloat16. The
// time goes into reading the weights, so they are half as wide as the numbers they multiply.

#include "ops.h"
#include "vector.h"

namespace avatar::AVATAR_ISA {
namespace {

constexpr int kWays = 4;

// In halves: adding lane after lane would take as long as the products.
inline float sum(vfloat value) {
  for (int half = kLanes / 2; half; half /= 2)
    value += __builtin_shuffle(value, lane_numbers() ^ half);
  return value[0];
}

// weight . x, read from one end to the other: several rows side by side would confuse the
// prefetcher. Several sums at a time: one addition must not wait for the last.
inline float product(const bf16 *weight, const float *x, int64_t inputs) {
  vfloat sums[kWays] = {};
  int64_t i = 0;
  for (; i + kWays * kLanes <= inputs; i += kWays * kLanes)
    for (int way = 0; way < kWays; ++way)
      sums[way] += load(weight + i + way * kLanes) * load(x + i + way * kLanes);
  for (; i + kLanes <= inputs; i += kLanes)
    sums[0] += load(weight + i) * load(x + i);
  float total = sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
  for (; i < inputs; ++i)
    total += to_float(weight[i]) * x[i];
  return total;
}

void layer(const Dense &a) {
  const bf16 *weight = reinterpret_cast<const bf16 *>(a.weight);
  for (int64_t row = 0; row < a.outputs; ++row) {
    const float value = product(weight + row * a.inputs, a.x, a.inputs) + a.bias[row];
    a.y[row] = a.rectified && value < 0.0f ? 0.0f : value;
  }
}

} // namespace

void dense(const Dense &a) { layer(a); }

void tower(const Tower &a) {
  const int64_t width = a.width;
  float *pair = a.scratch, *added = a.scratch + 2 * width;
  const uint16_t *weight = a.weight;
  const float *bias = a.bias;
  float *ring = a.rings;
  layer({width, a.inputs, weight, bias, a.x, a.y, true});
  weight += width * a.inputs;
  bias += width;
  for (int64_t k = 0; k < a.depth; ++k) {
    float *earlier = ring + a.step % a.dilations[k] * width;
    std::memcpy(pair, earlier, sizeof(float) * width);
    std::memcpy(pair + width, a.y, sizeof(float) * width);
    std::memcpy(earlier, a.y, sizeof(float) * width);
    layer({width, 2 * width, weight, bias, pair, added, true});
    for (int64_t i = 0; i < width; ++i)
      a.y[i] += added[i];
    weight += 2 * width * width;
    bias += width;
    ring += a.dilations[k] * width;
  }
}

} // namespace avatar::AVATAR_ISA
