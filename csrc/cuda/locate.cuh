// Where a pixel of a warped image comes from: positions between the nodes of a grid, the four
// pixels around them, and their weights.
#pragma once

#include "ops.h"

namespace avatar {

struct Node {
  int low, high;
  float fraction;
};

// `pixel` of `size` among `nodes`. The quotient is estimated in floats and put right in integers,
// so that the fraction is as exact with a thousand nodes as with two.
__device__ inline Node node(int64_t pixel, int64_t nodes, int64_t size) {
  if (size < 2 || nodes < 2)
    return {0, 0, 0.0f};
  const int64_t place = pixel * (nodes - 1), whole = size - 1;
  int64_t low = int64_t(float(pixel) * (float(nodes - 1) / float(whole)));
  int64_t rest = place - low * whole;
  const int step = rest < 0 ? -1 : rest >= whole ? 1 : 0;
  low += step;
  rest -= step * whole;
  const int first = int(min(low, nodes - 1));
  return {first, int(min(low + 1, nodes - 1)), float(rest) / float(whole)};
}

// The two neighbours on one axis, always inside the image, and their weights.
struct Axis {
  int low, high;
  float low_weight, high_weight;
};

__device__ inline Axis axis(float given, int size, bool border) {
  const float last = float(size - 1);
  const float position =
      border ? fminf(fmaxf(given, 0.0f), last) : fminf(fmaxf(given, -2.0f), last + 2.0f);
  const float floored = floorf(position);
  const int low = int(floored), high = low + 1;
  const bool unknown = given != given;
  const float fraction = unknown ? given : position - floored;
  Axis out = {max(0, min(low, size - 1)), max(0, min(high, size - 1)), 1.0f - fraction, fraction};
  if (!border && !unknown) {
    out.low_weight = low == out.low ? out.low_weight : 0.0f;
    out.high_weight = high == out.high ? out.high_weight : 0.0f;
  }
  return out;
}

struct Corners {
  int offset[4]; // in pixels
  float weight[4];
  bool inside;
};

__device__ inline Corners locate(const Warp &a, int64_t batch, int64_t h, int64_t w) {
  const Node v = node(h, a.grid_height, a.height), u = node(w, a.grid_width, a.width);
  const int64_t plane = a.grid_height * a.grid_width;
  const float *grid = a.grid + batch * 2 * plane;
  float position[2];
#pragma unroll
  for (int k = 0; k < 2; ++k, grid += plane) {
    const float *top = grid + v.low * a.grid_width, *bottom = grid + v.high * a.grid_width;
    // A node that is met exactly is taken alone: its neighbour may be NaN.
    const float left = v.fraction == 0.0f
                           ? top[u.low]
                           : (1.0f - v.fraction) * top[u.low] + v.fraction * bottom[u.low];
    const float right = v.fraction == 0.0f
                            ? top[u.high]
                            : (1.0f - v.fraction) * top[u.high] + v.fraction * bottom[u.high];
    position[k] = u.fraction == 0.0f ? left : (1.0f - u.fraction) * left + u.fraction * right;
  }
  const int width = int(a.image_shape.width), height = int(a.image_shape.height);
  const Axis x = axis(position[0], width, a.border), y = axis(position[1], height, a.border);
  const int top = y.low * width, bottom = y.high * width;
  Corners out = {{top + x.low, top + x.high, bottom + x.low, bottom + x.high},
                 {y.low_weight * x.low_weight, y.low_weight * x.high_weight,
                  y.high_weight * x.low_weight, y.high_weight * x.high_weight},
                 false};
  out.inside = out.weight[0] + out.weight[1] + out.weight[2] + out.weight[3] != 0.0f;
  return out;
}

} // namespace avatar
