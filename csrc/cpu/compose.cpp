// A whole picture in one pass: each row is copied, warped where it may change, and painted over
// while it is still in the first cache.

#include "warp_row.h"

namespace avatar::AVATAR_ISA {
namespace {

typedef float quad __attribute__((vector_size(16))); // RGB and the share to drop

inline quad paint_at(const Layer &layer, int64_t column, int64_t row) {
  if (column < 0 || row < 0 || column >= layer.size || row >= layer.size)
    return quad{};
  quad value;
  std::memcpy(&value, layer.paint + (row * layer.size + column) * 4, sizeof(value));
  return value;
}

// Bilinear; zero from one step outside on.
inline quad sample(const Layer &layer, float u, float v) {
  const float left = __builtin_floorf(u), top = __builtin_floorf(v);
  const float right_share = u - left, bottom_share = v - top;
  const int64_t column = int64_t(left), row = int64_t(top);
  const quad above = paint_at(layer, column, row) * (1.0f - right_share) +
                     paint_at(layer, column + 1, row) * right_share;
  const quad below = paint_at(layer, column, row + 1) * (1.0f - right_share) +
                     paint_at(layer, column + 1, row + 1) * right_share;
  return above * (1.0f - bottom_share) + below * bottom_share;
}

// Rounds half to even; NaN becomes 0.
inline uint8_t to_byte(float value) {
  value = value > 0.0f ? value : 0.0f;
  value = value < 255.0f ? value : 255.0f;
  return uint8_t(bit_cast<uint32_t>(value + 8388608.0f)); // 2^23 leaves the integer in the low bits
}

struct Span {
  int64_t begin, end;

  // Keeps the x for which -1 < slope * x + start < size, and a pixel more on either side.
  void keep(float slope, float start, float size) {
    if (slope == 0.0f) {
      if (start <= -1.0f || start >= size)
        end = begin;
      return;
    }
    const float a = (-1.0f - start) / slope, b = (size - start) / slope;
    const float low = a < b ? a : b, high = a < b ? b : a;
    const int64_t first = begin;
    if (low > float(first))
      begin = low < float(end) ? int64_t(low) : end;
    if (high < float(end)) {
      const int64_t last = high > float(first) ? int64_t(high) + 2 : first + 1;
      end = last < end ? last : end;
    }
  }
};

void paint(const Compose &a, const Layer &layer, int64_t y, uint8_t *row) {
  const float *m = layer.to_paint, size = float(layer.size);
  const float u0 = m[1] * float(y) + m[2], v0 = m[4] * float(y) + m[5];
  Span span{a.left, a.right};
  // NaN is seen in the whole row, whatever the other coordinate.
  const float all = u0 + v0 + m[0] + m[3];
  if (all == all) {
    span.keep(m[0], u0, size);
    span.keep(m[3], v0, size);
  }
  for (int64_t x = span.begin; x < span.end; ++x) {
    const float u = m[0] * float(x) + u0, v = m[3] * float(x) + v0;
    const bool known = u == u && v == v;
    if (known && !(u > -1.0f && v > -1.0f && u < size && v < size))
      continue;
    const quad laid = known ? sample(layer, u, v) : quad{} + u + v;
    uint8_t *pixel = row + 3 * x;
    for (int c = 0; c < 3; ++c)
      pixel[c] = to_byte(float(pixel[c]) * (1.0f - laid[3]) + laid[c]);
  }
}

} // namespace

void compose(const Compose &a, int threads) {
  const int64_t stride = 3 * a.width;
  const Warp warp{Type::u8,
                  true,
                  {1, 3, a.height, a.width},
                  a.bottom - a.top,
                  a.right - a.left,
                  {const_cast<uint8_t *>(a.photo), 0, 1, stride, 3},
                  {a.out + a.top * stride + 3 * a.left, 0, 1, stride, 3},
                  a.positions,
                  a.grid_height,
                  a.grid_width,
                  true};
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1 && a.height > 1)
  for (int64_t y = 0; y < a.height; ++y) {
    uint8_t *row = a.out + y * stride;
    const uint8_t *photo = a.photo + y * stride;
    if (y < a.top || y >= a.bottom || a.left >= a.right) {
      std::memcpy(row, photo, stride);
      continue;
    }
    std::memcpy(row, photo, 3 * a.left);
    Row<uint8_t>(warp, 0, y - a.top).run();
    std::memcpy(row + 3 * a.right, photo + 3 * a.right, 3 * (a.width - a.right));
    for (int64_t k = 0; k < a.layer_count; ++k)
      paint(a, a.layers[k], y, row);
  }
}

} // namespace avatar::AVATAR_ISA
