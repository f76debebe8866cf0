// A layer for compose from what a decoder says, a row at a time.

#include <algorithm>

#include "ops.h"
#include "vector.h"

namespace avatar::AVATAR_ISA {
namespace {

typedef float quad __attribute__((vector_size(16)));

constexpr int64_t kMostColumns = 2048;

inline float clamped(float value) { return value < 0.0f ? 0.0f : value > 1.0f ? 1.0f : value; }

// Row `y` of twice the size, bilinear between pixel centres, of factor * map + offset, in 0 to 1.
void enlarged(const float *map, int64_t height, int64_t width, int64_t y, float factor,
              float offset, float *out) {
  const int64_t near = y / 2, far = std::clamp<int64_t>(near + (y % 2 ? 1 : -1), 0, height - 1);
  const float *a = map + near * width, *b = map + far * width;
  float mixed[kMostColumns + 2];
  for (int64_t x = 0; x < width; ++x)
    mixed[x + 1] = (0.75f * a[x] + 0.25f * b[x]) * factor + offset;
  mixed[0] = mixed[1];
  mixed[width + 1] = mixed[width];
  for (int64_t x = 0; x < width; ++x) {
    out[2 * x] = clamped(0.75f * mixed[x + 1] + 0.25f * mixed[x]);
    out[2 * x + 1] = clamped(0.75f * mixed[x + 1] + 0.25f * mixed[x + 2]);
  }
}

} // namespace

void paint(const Paint &a) {
  const int64_t height = 2 * a.height, width = 2 * a.width;
  float near[2 * kMostColumns], open[2 * kMostColumns] = {};
  for (int64_t y = 0; y < height; ++y) {
    enlarged(a.border, a.height, a.width, y, 1.0f, 1.0f, near);
    if (a.opening)
      enlarged(a.opening, a.height, a.width, y, a.steepness, 0.0f, open);
    const float *answer = a.answer + y / 2 * a.width * a.answer_column + y % 2 * 2;
    const uint8_t *patch = a.patch + y * width * 3;
    float *out = a.out + y * width * 4;
    for (int64_t x = 0; x < width; ++x) {
      const float window = near[x] * near[x] * (3.0f - 2.0f * near[x]) * a.strength;
      const float *own = answer + x / 2 * a.answer_column + x % 2;
      quad value = quad{own[0], own[4], own[8], 0.0f} * window;
      if (open[x] > 0.0f)
        value += quad{float(patch[3 * x]), float(patch[3 * x + 1]), float(patch[3 * x + 2]), 1.0f} *
                 open[x];
      std::memcpy(out + 4 * x, &value, sizeof(value));
    }
  }
}

} // namespace avatar::AVATAR_ISA
