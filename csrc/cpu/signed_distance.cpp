// Signed distance of pixels to a polygon, a vector of pixels at a time.

#include <cmath>

#include "ops.h"
#include "vector.h"

namespace avatar::AVATAR_ISA {
namespace {

// What is the same for all pixels: an edge from `a`, and 1 / |edge|^2.
struct Edge {
  float ax, ay, by, ex, ey, scale;
};

constexpr int64_t kMostCorners = 64;

void row(const SignedDistance &a, const Edge *edges, int64_t batch, int64_t y_index) {
  const float step = 2.0f / float(a.size), y = (float(y_index) + 0.5f) * step - 1.0f;
  float *out = a.out + (batch * a.size + y_index) * a.size;
  const vfloat lane = __builtin_convertvector(lane_numbers(), vfloat);
  for (int64_t first = 0; first < a.size; first += kLanes) {
    const vfloat x = (lane + float(first) + 0.5f) * step - 1.0f;
    vfloat nearest = fill(1e30f);
    vint inside = {};
    for (int64_t k = 0; k < a.corners; ++k) {
      const Edge &e = edges[k];
      const vfloat px = x - e.ax;
      const float py = y - e.ay;
      vfloat along = (px * e.ex + py * e.ey) * e.scale;
      along = along > 0.0f ? along : vfloat{};
      along = along < 1.0f ? along : fill(1.0f);
      const vfloat dx = px - along * e.ex, dy = py - along * e.ey;
      const vfloat squared = dx * dx + dy * dy;
      nearest = squared < nearest ? squared : nearest;
      if ((e.ay <= y) != (e.by <= y)) {
        const vint crosses = px * e.ey < fill(py * e.ex);
        inside ^= e.ey > 0.0f ? crosses : ~crosses;
      }
    }
    const int count = int(a.size - first < kLanes ? a.size - first : kLanes);
    for (int i = 0; i < count; ++i) {
      const float away = std::sqrt(nearest[i]) * 4.0f, value = inside[i] ? away : -away;
      out[first + i] = value < -1.0f ? -1.0f : value > 1.0f ? 1.0f : value;
    }
  }
}

} // namespace

void signed_distance(const SignedDistance &a, int threads) {
  const bool worth = threads > 1 && a.batch * a.size * a.size * a.corners > 65536;
#pragma omp parallel for schedule(static) num_threads(threads) if (worth)
  for (int64_t item = 0; item < a.batch * a.size; ++item) {
    const int64_t batch = item / a.size;
    const float *corner = a.polygon + batch * a.corners * 2;
    Edge edges[kMostCorners];
    for (int64_t k = 0; k < a.corners; ++k) {
      const float *from = corner + 2 * k, *to = corner + 2 * ((k + 1) % a.corners);
      const float ex = to[0] - from[0], ey = to[1] - from[1], squared = ex * ex + ey * ey;
      edges[k] = {from[0], from[1], to[1], ex, ey, 1.0f / (squared > 1e-12f ? squared : 1e-12f)};
    }
    row(a, edges, batch, item % a.size);
  }
}

} // namespace avatar::AVATAR_ISA
