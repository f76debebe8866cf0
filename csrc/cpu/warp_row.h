// One row of a warped image.
//
// It is made in tiles: first the positions, neighbours and weights of a tile's pixels, a vector at
// a time, then the pixels themselves.
#pragma once

#include "ops.h"
#include "streaming.h"
#include "vector.h"

namespace avatar::AVATAR_ISA {
namespace {

constexpr int kTile = 64;
constexpr int kVectors = kTile / kLanes;
constexpr int kNodes = kTile + 2;
// Up to this many nodes a pixel, kLanes pixels lie between kLanes + 1 nodes.
constexpr float kShuffleStep = float(kLanes - 1) / float(kLanes);

inline vfloat smaller(vfloat a, float b) { return a < b ? a : fill(b); }
inline vfloat larger(vfloat a, float b) { return a > b ? a : fill(b); }
inline vint within(vint a, int32_t last) {
  a = a < 0 ? vint{} : a;
  return a > last ? vint{} + last : a;
}

// Nodes advanced per output pixel along one axis.
inline float node_step(int64_t nodes, int64_t size) {
  return size > 1 ? float(nodes - 1) / float(size - 1) : 0.0f;
}

inline int64_t node_at(int64_t pixel, int64_t nodes, float step) {
  const int64_t node = int64_t(float(pixel) * step);
  return node < nodes - 1 ? node : nodes - 1;
}

// The node positions of one coordinate along an output row, between two rows of nodes.
struct NodeRow {
  const float *top, *bottom;
  float fraction;

  void mix(int64_t first, int count, float *out) const {
    if (fraction == 0.0f) {
      std::memcpy(out, top + first, sizeof(float) * count);
      return;
    }
    for (int i = 0; i < count; ++i)
      out[i] = (1.0f - fraction) * top[first + i] + fraction * bottom[first + i];
  }
};

// The two neighbours of each position on one axis, always inside the image, and their weights.
struct Axis {
  vint low, high;
  vfloat low_weight, high_weight;
};

inline Axis axis(vfloat given, int64_t size, bool border) {
  const int32_t last = int32_t(size - 1);
  const float from = border ? 0.0f : -2.0f, to = border ? float(last) : float(last) + 2.0f;
  // NaN takes a bound here and returns through the weights.
  const vfloat position = smaller(larger(given, from), to);
  vint low = __builtin_convertvector(position, vint);
  low += position < __builtin_convertvector(low, vfloat); // floor: a true comparison is -1
  const vint high = low + 1;
  const vfloat fraction = given == given ? position - __builtin_convertvector(low, vfloat) : given;
  Axis out = {within(low, last), within(high, last), 1.0f - fraction, fraction};
  if (!border) {
    const vint unknown = given != given;
    out.low_weight = (low == out.low) | unknown ? out.low_weight : vfloat{};
    out.high_weight = (high == out.high) | unknown ? out.high_weight : vfloat{};
  }
  return out;
}

// The four pixels under each position: offsets in elements from the first, and weights.
struct Corners {
  vint offset[4][kVectors];
  vfloat weight[4][kVectors];
  vint inside[kVectors]; // wholly outside is zero whatever the image holds (0 * NaN would be NaN)

  void set(int v, const Axis &x, const Axis &y, const View &image) {
    const int32_t row = int32_t(image.row), column = int32_t(image.column);
    const vint top = y.low * row, bottom = y.high * row, left = x.low * column,
               right = x.high * column;
    offset[0][v] = top + left, offset[1][v] = top + right;
    offset[2][v] = bottom + left, offset[3][v] = bottom + right;
    weight[0][v] = y.low_weight * x.low_weight, weight[1][v] = y.low_weight * x.high_weight;
    weight[2][v] = y.high_weight * x.low_weight, weight[3][v] = y.high_weight * x.high_weight;
    inside[v] = (weight[0][v] + weight[1][v] + weight[2][v] + weight[3][v]) != 0.0f;
  }
};

template <class T> class Row {
public:
  Row(const Warp &a, int64_t batch, int64_t h)
      : a(a), image(static_cast<const T *>(a.image.data) + batch * a.image.batch),
        out(static_cast<T *>(a.y.data) + batch * a.y.batch + h * a.y.row),
        step(node_step(a.grid_width, a.width)),
        words(sizeof(T) == 1 && a.channels_last && a.image_shape.channels >= 2 &&
              a.image_shape.channels <= 4 && a.y.column <= 4 && image_bytes() >= 4),
        streamed(
            streams<T>(a.y, {a.image_shape.batch, a.image_shape.channels, a.height, a.width})) {
    const float down = node_step(a.grid_height, a.height);
    const int64_t low = node_at(h, a.grid_height, down);
    const int64_t high = low + 1 < a.grid_height ? low + 1 : low;
    const int64_t plane = a.grid_height * a.grid_width;
    for (int axis = 0; axis < 2; ++axis) {
      const float *grid = a.grid + (batch * 2 + axis) * plane;
      rows[axis] = {grid + low * a.grid_width, grid + high * a.grid_width,
                    float(h) * down - float(low)};
    }
  }

  void run() {
    // As many pixels at a time as the nodes they lie between fit the buffer.
    const int tile = step * kTile <= float(kTile) ? kTile
                     : step < float(kTile)        ? int(kTile / step)
                                                  : 1;
    for (int64_t first = 0; first < a.width; first += tile) {
      const int count = int(a.width - first < tile ? a.width - first : tile);
      locate(first, count);
      T *to = out + first * a.y.column;
      if (words)
        by_word(count, to);
      else if (!a.channels_last || a.image_shape.channels < kLanes)
        by_channel(count, to);
      else if (streamed)
        by_pixel<true>(count, to);
      else
        by_pixel<false>(count, to);
    }
    if (streamed)
      end_streaming();
  }

private:
  const Warp &a;
  const T *image;
  T *out;
  float step;
  bool words, streamed;
  NodeRow rows[2];
  Corners corners;

  int64_t image_bytes() const {
    return (a.image_shape.height - 1) * a.image.row + (a.image_shape.width - 1) * a.image.column +
           a.image_shape.channels;
  }

  void locate(int64_t first, int count) {
    float nodes[2][kNodes + kLanes];
    const int64_t node = node_at(first, a.grid_width, step);
    const int64_t last = node_at(first + count - 1, a.grid_width, step) + 1;
    const int span = int((last < a.grid_width ? last : a.grid_width - 1) - node + 1);
    for (int axis = 0; axis < 2; ++axis) {
      rows[axis].mix(node, span, nodes[axis]);
      for (int i = span; i < kNodes + kLanes; ++i)
        nodes[axis][i] = nodes[axis][span - 1];
    }
    for (int v = 0; v * kLanes < count; ++v) {
      const vfloat at =
          __builtin_convertvector(lane_numbers() + int32_t(first + v * kLanes), vfloat) * step;
      const vint whole = __builtin_convertvector(at, vint);
      const vint low = within(whole, int32_t(a.grid_width - 1));
      const vfloat fraction = at - __builtin_convertvector(low, vfloat);
      const vint left = within(low - int32_t(node), span - 1);
      // Where every pixel has a node they only have to be loaded.
      const bool dense = a.grid_width == a.width;
      const vfloat x = dense ? load(nodes[0] + v * kLanes) : between(nodes[0], left, fraction);
      const vfloat y = dense ? load(nodes[1] + v * kLanes) : between(nodes[1], left, fraction);
      corners.set(v, axis(x, a.image_shape.width, a.border),
                  axis(y, a.image_shape.height, a.border), a.image);
    }
  }

  // Between the nodes left and left + 1.
  vfloat between(const float *nodes, vint left, vfloat fraction) const {
    if (step > kShuffleStep)
      return (1.0f - fraction) * gather(nodes, left) + fraction * gather(nodes + 1, left);
    const float *base = nodes + left[0];
    const vint index = left - left[0];
    return (1.0f - fraction) * __builtin_shuffle(load(base), index) +
           fraction * __builtin_shuffle(load(base + 1), index);
  }

  void by_word(int count, T *to) const;

  // One or two vectors of channels after the other; the last are moved back to be full.
  template <bool streamed> void by_pixel(int count, T *to) const {
    const int64_t channels = a.image_shape.channels, step = a.y.column;
    for (int i = 0; i < count; ++i, to += step) {
      const int v = i / kLanes, lane = i % kLanes;
      if (!corners.inside[v][lane]) {
        std::memset(to, 0, sizeof(T) * channels);
        continue;
      }
      const T *from[4];
      float weight[4];
      for (int k = 0; k < 4; ++k) {
        from[k] = image + corners.offset[k][v][lane];
        weight[k] = corners.weight[k][v][lane];
      }
      if (channels < 2 * kLanes) {
        for (int64_t c = 0; c < channels; c += kLanes) {
          c = c + kLanes > channels ? channels - kLanes : c;
          store(to + c, load(from[0] + c) * weight[0] + load(from[1] + c) * weight[1] +
                            load(from[2] + c) * weight[2] + load(from[3] + c) * weight[3]);
        }
        continue;
      }
      for (int64_t c = 0; c < channels; c += 2 * kLanes) {
        c = c + 2 * kLanes > channels ? channels - 2 * kLanes : c;
        Two sum = {};
        for (int k = 0; k < 4; ++k) {
          const Two here = load_two(from[k] + c);
          sum.first += here.first * weight[k];
          sum.second += here.second * weight[k];
        }
        if constexpr (streamed)
          stream_two(to + c, sum);
        else
          store_two(to + c, sum);
      }
    }
  }

  // A vector of pixels of one channel at a time.
  void by_channel(int count, T *to) const {
    for (int v = 0; v * kLanes < count; ++v) {
      const int some = count - v * kLanes < kLanes ? count - v * kLanes : kLanes;
      const vint inside = corners.inside[v];
      for (int64_t channel = 0; channel < a.image_shape.channels; ++channel) {
        const T *plane = image + channel * a.image.channel;
        vfloat value = {};
        for (int k = 0; k < 4; ++k)
          value += gather(plane, corners.offset[k][v]) * corners.weight[k][v];
        value = inside ? value : vfloat{};
        T *at = to + channel * a.y.channel + v * kLanes * a.y.column;
        T all[kLanes];
        store(all, value);
        for (int i = 0; i < some; ++i)
          at[i * a.y.column] = all[i];
      }
    }
  }
};

// Two to four bytes a pixel, side by side: a pixel is read and written as one word.
template <> void Row<uint8_t>::by_word(int count, uint8_t *to) const {
  const int channels = int(a.image_shape.channels);
  for (int v = 0; v * kLanes < count; ++v) {
    vfloat values[4] = {};
    for (int k = 0; k < 4; ++k) {
      // A word at the end of the image begins before its pixel.
      const vint begin = within(corners.offset[k][v], int32_t(image_bytes() - 4));
      const vint before = corners.offset[k][v] - begin;
      const vuint pixels = gather_words(image, begin) >> bit_cast<vuint>(before * 8);
      for (int c = 0; c < 4; ++c)
        values[c] += __builtin_convertvector(bit_cast<vint>(pixels >> (8 * c) & 0xff), vfloat) *
                     corners.weight[k][v];
    }
    const vint inside = corners.inside[v];
    vuint words = {};
    for (int c = 0; c < 4; ++c)
      words |= to_bytes(inside ? values[c] : vfloat{}) << (8 * c);
    const int some = count - v * kLanes < kLanes ? count - v * kLanes : kLanes;
    uint8_t *at = to + v * kLanes * a.y.column;
    uint32_t all[kLanes];
    std::memcpy(all, &words, sizeof(all));
    // Left to right: what a word has too much, the next one overwrites; the last has nothing.
    for (int i = 0; i + 1 < some; ++i)
      std::memcpy(at + i * a.y.column, &all[i], sizeof(all[i]));
    for (int c = 0; c < channels; ++c)
      at[(some - 1) * a.y.column + c] = uint8_t(all[some - 1] >> (8 * c));
  }
}

template <class T> void Row<T>::by_word(int, T *) const {}

} // namespace
} // namespace avatar::AVATAR_ISA
