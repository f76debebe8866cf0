// Layers of a small network that hears streams: several vectors in and out, weights in bfloat16.
//
// Alone, a vector costs what reading the weights costs, so they are half as wide as the numbers
// they multiply, and lie in the order in which they are read. With company the weights are read
// once for all. Each output is one sum in the order of the inputs, whoever else is there.

#include <algorithm>
#include <utility>

#include "ops.h"
#include "vector.h"

namespace avatar::AVATAR_ISA {
namespace {

constexpr int kWords = kDensePanel / 2;
constexpr int kTile = 2; // vectors of words, each two of outputs
// As many sums as registers hold.
constexpr int kMostRows = kLanes == 16 ? 6 : 2;
constexpr int kAhead = 24; // inputs whose weights are fetched early
static_assert(kWords % (kTile * kLanes) == 0, "");

// The sums of `kRows` vectors for the outputs of one tile.
template <int kRows>
void tile(const uint32_t *weight, const float *x, int64_t inputs,
          vfloat (&sums)[kRows][2 * kTile]) {
  for (int64_t i = 0; i < inputs; ++i, weight += kWords) {
    if (kRows < kMostRows) // with many rows the weights come fast enough
      for (int word = 0; word < kTile * kLanes; word += 16)
        __builtin_prefetch(weight + kAhead * kWords + word);
    vfloat low[kTile], high[kTile];
    for (int k = 0; k < kTile; ++k) {
      vuint words;
      std::memcpy(&words, weight + k * kLanes, sizeof(words));
      low[k] = bit_cast<vfloat>(words << 16);
      high[k] = bit_cast<vfloat>(words & 0xffff0000u);
    }
    for (int row = 0; row < kRows; ++row) {
      const vfloat value = fill(x[row * inputs + i]);
      for (int k = 0; k < kTile; ++k) {
        sums[row][k] += low[k] * value;
        sums[row][kTile + k] += high[k] * value;
      }
    }
  }
}

// y = weight x + bias for each row, and nothing below zero if `rectified`.
struct Layer {
  int64_t rows, outputs, inputs;
  const uint16_t *weight;
  const float *bias, *x;
  float *y;
  bool rectified;
};

void put(const Layer &a, int64_t row, int64_t first, vfloat sum) {
  float values[kLanes];
  store(values, sum);
  const int64_t left = a.outputs - first;
  for (int64_t k = 0; k < (left < kLanes ? left : kLanes); ++k) {
    const float value = values[k] + a.bias[first + k];
    a.y[row * a.outputs + first + k] = a.rectified && value < 0.0f ? 0.0f : value;
  }
}

template <int kRows> void rows_of_panel(const Layer &a, int64_t panel, int64_t row) {
  const uint32_t *weight = reinterpret_cast<const uint32_t *>(a.weight) + panel * a.inputs * kWords;
  for (int64_t word = 0; word < kWords; word += kTile * kLanes) {
    vfloat sums[kRows][2 * kTile] = {};
    tile<kRows>(weight + word, a.x + row * a.inputs, a.inputs, sums);
    for (int k = 0; k < kRows; ++k)
      for (int j = 0; j < 2 * kTile; ++j)
        put(a, row + k, panel * kDensePanel + (j / kTile) * kWords + word + (j % kTile) * kLanes,
            sums[k][j]);
  }
}

void run(const Layer &a) {
  for (int64_t panel = 0; panel * kDensePanel < a.outputs; ++panel) {
    int64_t row = 0;
    for (; row + kMostRows <= a.rows; row += kMostRows)
      rows_of_panel<kMostRows>(a, panel, row);
    for (; row + 2 <= a.rows; row += 2)
      rows_of_panel<2>(a, panel, row);
    for (; row < a.rows; ++row)
      rows_of_panel<1>(a, panel, row);
  }
}

// Goes through the layers in the order in which their weights lie.
struct Layers {
  int64_t rows;
  const uint16_t *weight;
  const float *bias;

  void next(int64_t outputs, int64_t inputs, const float *x, float *y, bool rectified = true) {
    run({rows, outputs, inputs, weight, bias, x, y, rectified});
    weight += (outputs + kDensePanel - 1) / kDensePanel * kDensePanel * inputs;
    bias += outputs;
  }
};

} // namespace

void tower(const Tower &a) {
  const int64_t width = a.width, size = sizeof(float) * width;
  int64_t most = width;
  for (int64_t k = 0; k < a.tail; ++k)
    most = std::max(most, a.tail_outputs[k]);
  float *pairs = a.scratch, *h = pairs + 2 * width * a.rows, *made = h + most * a.rows;
  Layers layers = {a.rows, a.weight, a.bias};
  layers.next(width, a.inputs, a.x, h);
  int64_t ring = 0;
  for (int64_t k = 0; k < a.depth; ++k) {
    for (int64_t row = 0; row < a.rows; ++row) {
      float *pair = pairs + row * 2 * width, *now = h + row * width;
      float *earlier = a.rings[row] + ring + a.steps[row] % a.dilations[k] * width;
      std::memcpy(pair, earlier, size);
      std::memcpy(pair + width, now, size);
      std::memcpy(earlier, now, size);
    }
    layers.next(width, 2 * width, pairs, made);
    for (int64_t i = 0; i < a.rows * width; ++i)
      h[i] += made[i];
    ring += a.dilations[k] * width;
  }
  int64_t inputs = width;
  for (int64_t k = 0; k < a.tail; ++k) {
    const bool last = k + 1 == a.tail;
    float *out = last ? a.y : made;
    layers.next(a.tail_outputs[k], inputs, h, out, !last);
    inputs = a.tail_outputs[k];
    std::swap(h, made);
  }
  if (!a.tail)
    std::memcpy(a.y, h, a.rows * size);
}

} // namespace avatar::AVATAR_ISA
