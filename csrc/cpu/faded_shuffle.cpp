// A decoder's answer at full size, faded out beyond a border, a row at a time.

#include <algorithm>

#include "ops.h"
#include "vector.h"

namespace avatar::AVATAR_ISA {
namespace {

constexpr int64_t kMostColumns = 2048;

inline float clamped(float value) { return value < 0.0f ? 0.0f : value > 1.0f ? 1.0f : value; }

// How much is left in row `y` of twice the border's size: its distance from -1, bilinear between
// pixel centres, eased.
void window_of(const FadedShuffle &a, int64_t y, float *out) {
  const int64_t near = y / 2, other = near + (y % 2 ? 1 : -1);
  const int64_t far = std::clamp<int64_t>(other, 0, a.height - 1);
  const float *here = a.border + near * a.width, *beside = a.border + far * a.width;
  float mixed[kMostColumns + 2];
  for (int64_t x = 0; x < a.width; ++x)
    mixed[x + 1] = 0.75f * here[x] + 0.25f * beside[x] + 1.0f;
  mixed[0] = mixed[1];
  mixed[a.width + 1] = mixed[a.width];
  for (int64_t x = 0; x < a.width; ++x)
    for (int64_t side = 0; side < 2; ++side) {
      const float share = clamped(0.75f * mixed[x + 1] + 0.25f * mixed[x + 2 * side]);
      out[2 * x + side] = share * share * (3.0f - 2.0f * share);
    }
}

} // namespace

void faded_shuffle(const FadedShuffle &a) {
  const int64_t width = 2 * a.width, plane = 2 * a.height * width;
  float window[2 * kMostColumns];
  for (int64_t y = 0; y < 2 * a.height; ++y) {
    window_of(a, y, window);
    const float *answer = a.answer + y / 2 * a.width * a.answer_column + y % 2 * 2;
    for (int64_t channel = 0; channel < 3; ++channel) {
      float *out = a.out + channel * plane + y * width;
      for (int64_t x = 0; x < width; ++x)
        out[x] = answer[x / 2 * a.answer_column + 4 * channel + x % 2] * window[x];
    }
  }
}

} // namespace avatar::AVATAR_ISA
