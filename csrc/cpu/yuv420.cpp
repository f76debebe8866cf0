// RGB to YUV 4:2:0 in integers, two rows at a time. The plain loops are what compilers vectorise.

#include <cstdint>

#include "ops.h"

namespace avatar::AVATAR_ISA {
namespace {

constexpr int kTile = 128;

// BT.709: luma 16 to 235, chroma 16 to 240, in 1/65536.
constexpr int32_t kLuma[3] = {11966, 40254, 4064};
constexpr int32_t kU[3] = {-6596, -22189, 28785};
constexpr int32_t kV[3] = {28785, -26145, -2640};

struct Pixels {
  uint8_t r[kTile], g[kTile], b[kTile];

  // `count` pixels, the last repeated where the row is one short of even.
  void read(const uint8_t *rgb, int count) {
    for (int i = 0; i < count; ++i) {
      r[i] = rgb[3 * i];
      g[i] = rgb[3 * i + 1];
      b[i] = rgb[3 * i + 2];
    }
    if (count % 2) {
      r[count] = r[count - 1];
      g[count] = g[count - 1];
      b[count] = b[count - 1];
    }
  }

  void luma(int count, uint8_t *y) const {
    for (int i = 0; i < count; ++i)
      y[i] = uint8_t(
          (kLuma[0] * r[i] + kLuma[1] * g[i] + kLuma[2] * b[i] + (16 << 16) + (1 << 15)) >> 16);
  }
};

void sums(const uint8_t *above, const uint8_t *below, int count, int32_t *out) {
  uint16_t both[kTile];
  for (int i = 0; i < 2 * count; ++i)
    both[i] = uint16_t(above[i] + below[i]);
  for (int i = 0; i < count; ++i)
    out[i] = both[2 * i] + both[2 * i + 1];
}

void chroma(const Pixels &above, const Pixels &below, int count, uint8_t *u, uint8_t *v,
            int64_t step) {
  int32_t r[kTile / 2], g[kTile / 2], b[kTile / 2];
  sums(above.r, below.r, count, r);
  sums(above.g, below.g, count, g);
  sums(above.b, below.b, count, b);
  uint8_t us[kTile / 2], vs[kTile / 2];
  constexpr int32_t offset = (128 << 18) + (1 << 17);
  for (int i = 0; i < count; ++i) {
    us[i] = uint8_t((kU[0] * r[i] + kU[1] * g[i] + kU[2] * b[i] + offset) >> 18);
    vs[i] = uint8_t((kV[0] * r[i] + kV[1] * g[i] + kV[2] * b[i] + offset) >> 18);
  }
  for (int i = 0; i < count; ++i) {
    u[i * step] = us[i];
    v[i * step] = vs[i];
  }
}

void pair(const Yuv420 &a, int64_t row) {
  const int64_t second = 2 * row + 1 < a.height ? 2 * row + 1 : 2 * row;
  const uint8_t *rgb[2] = {a.rgb + 2 * row * a.rgb_row, a.rgb + second * a.rgb_row};
  uint8_t *y = a.y + 2 * row * a.y_row;
  Pixels above, below;
  for (int64_t x = 0; x < a.width; x += kTile) {
    const int count = int(a.width - x < kTile ? a.width - x : kTile), even = count + count % 2;
    above.read(rgb[0] + 3 * x, count);
    below.read(rgb[1] + 3 * x, count);
    above.luma(even, y + x);
    below.luma(even, y + a.y_row + x);
    const int64_t at = row * a.chroma_row + x / 2 * a.chroma_column;
    chroma(above, below, even / 2, a.u + at, a.v + at, a.chroma_column);
  }
}

} // namespace

void yuv420(const Yuv420 &a, int threads) {
  const int64_t rows = (a.height + 1) / 2;
  const bool worth = threads > 1 && a.height * a.width > 65536;
#pragma omp parallel for schedule(static) num_threads(threads) if (worth)
  for (int64_t row = 0; row < rows; ++row)
    pair(a, row);
}

} // namespace avatar::AVATAR_ISA
