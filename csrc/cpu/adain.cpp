// Adaptive instance normalisation with the activation fused: x is read from memory once.
//
// Each work item owns whole channels (a block of them, or one plane), so statistics need no
// exchange between threads and the bits do not depend on how many there are. Variance: within a
// short chunk, sums relative to the chunk's first pixel (being one of the values, it can cost no
// more than the factor of the chunk's length in precision); chunks are merged by Chan's formula.
// Everything is relative to the first pixel of all, so a large common offset costs nothing.

#include "ops.h"
#include "vector.h"

namespace avatar::AVATAR_ISA {
namespace {

constexpr int64_t kChunk = 64;

inline float inverse_root(float value) { return 1.0f / __builtin_sqrtf(value); }

inline vfloat positive(vfloat value) { return value < 0.0f ? vfloat{} : value; }

inline vfloat leaky(vfloat value, float slope) { return value > 0.0f ? value : value * slope; }

// Count, mean and summed squared deviation of what was seen so far.
struct Moments {
  vfloat mean = {}, squares = {};
  float count = 0;

  inline void merge(vfloat other_mean, vfloat other_squares, float other_count) {
    const float total = count + other_count;
    const vfloat delta = other_mean - mean;
    mean += delta * (other_count / total);
    squares += other_squares + delta * delta * (count * other_count / total);
    count = total;
  }
};

template <class T> struct Source {
  const T *x, *residual;
  T *y;
};

template <class T> Source<T> source(const Adain &a, int64_t batch, int64_t channel) {
  const auto at = [&](const View &view) {
    return static_cast<T *>(view.data) + batch * view.batch + channel * view.channel;
  };
  return {at(a.x), a.residual.data ? at(a.residual) : nullptr, at(a.y)};
}

// Channels-last: `blocks` vectors of channels of one image. `some` < kLanes channels only with
// blocks == 1 (arrays with fewer than kLanes channels).
template <class T, int blocks, bool partial> struct Columns {
  static inline vfloat get(const T *from, int block, int some) {
    return partial ? load_some(from, some) : load(from + block * kLanes);
  }

  static void statistics(const Adain &a, const T *x, int some, const vfloat *origin, Moments *m) {
    for (int64_t h = 0; h < a.shape.height; ++h) {
      const T *row = x + h * a.x.row;
      for (int64_t w = 0; w < a.shape.width; w += kChunk) {
        const int64_t left = a.shape.width - w;
        chunk(a, row + w * a.x.column, left < kChunk ? left : kChunk, some, origin, m);
      }
    }
  }

  static inline void chunk(const Adain &a, const T *x, int64_t count, int some,
                           const vfloat *origin, Moments *m) {
    // Several sums at a time: one addition must not wait for the last.
    constexpr int ways = blocks < 4 ? 4 / blocks : 1;
    vfloat first[blocks], sum[ways][blocks] = {}, squares[ways][blocks] = {};
    for (int i = 0; i < blocks; ++i)
      first[i] = get(x, i, some);
    const auto add = [&](int64_t pixel, int way) {
      for (int i = 0; i < blocks; ++i) {
        const vfloat d = get(x + pixel * a.x.column, i, some) - first[i];
        sum[way][i] += d;
        squares[way][i] += d * d;
      }
    };
    int64_t pixel = 0;
    for (; pixel + ways <= count; pixel += ways)
      for (int way = 0; way < ways; ++way)
        add(pixel + way, way);
    for (; pixel < count; ++pixel)
      add(pixel, 0);
    for (int i = 0; i < blocks; ++i) {
      vfloat all = sum[0][i], all_squares = squares[0][i];
      for (int way = 1; way < ways; ++way) {
        all += sum[way][i];
        all_squares += squares[way][i];
      }
      const vfloat mean = all / float(count);
      m[i].merge(first[i] - origin[i] + mean, positive(all_squares - mean * all), float(count));
    }
  }

  template <bool with_residual>
  static void apply(const Adain &a, const Source<T> &s, int some, const vfloat *origin,
                    const vfloat *gain, const vfloat *offset) {
    for (int64_t h = 0; h < a.shape.height; ++h)
      for (int64_t w = 0; w < a.shape.width; ++w) {
        const T *x = s.x + h * a.x.row + w * a.x.column;
        T *y = s.y + h * a.y.row + w * a.y.column;
        for (int i = 0; i < blocks; ++i) {
          vfloat value = (get(x, i, some) - origin[i]) * gain[i] + offset[i];
          if (with_residual)
            value += get(s.residual + h * a.residual.row + w * a.residual.column, i, some);
          value = leaky(value, a.negative_slope);
          if (partial)
            store_some(y, value, some);
          else
            store(y + i * kLanes, value);
        }
      }
  }

  static void run(const Adain &a, int64_t batch, int64_t channel, int some) {
    const Source<T> s = source<T>(a, batch, channel);
    const float *scale = a.scale + batch * a.shape.channels + channel;
    const float *shift = a.shift + batch * a.shape.channels + channel;
    vfloat origin[blocks], gain[blocks], offset[blocks];
    Moments m[blocks];
    for (int i = 0; i < blocks; ++i)
      origin[i] = get(s.x, i, some);
    statistics(a, s.x, some, origin, m);
    for (int i = 0; i < blocks; ++i) {
      const vfloat variance = m[i].squares / m[i].count + a.eps;
      const int used = partial ? some : kLanes;
      gain[i] = load_some(scale + i * kLanes, used);
      for (int lane = 0; lane < kLanes; ++lane)
        gain[i][lane] *= inverse_root(variance[lane]);
      offset[i] = load_some(shift + i * kLanes, used) - m[i].mean * gain[i];
    }
    if (s.residual)
      apply<true>(a, s, some, origin, gain, offset);
    else
      apply<false>(a, s, some, origin, gain, offset);
  }
};

template <class T> struct Plane {
  template <class Each> static void each(const T *row, int64_t count, const Each &use) {
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes)
      use(i, load(row + i), kLanes);
    if (i < count)
      use(i, load_some(row + i, int(count - i)), int(count - i));
  }

  static void run(const Adain &a, int64_t batch, int64_t channel) {
    constexpr int64_t chunk_size = kChunk * kLanes;
    const Source<T> s = source<T>(a, batch, channel);
    const float origin = to_float(s.x[0]);
    float mean = 0, squares = 0, seen = 0;
    for (int64_t h = 0; h < a.shape.height; ++h)
      for (int64_t w = 0; w < a.shape.width; w += chunk_size) {
        const int64_t left = a.shape.width - w, count = left < chunk_size ? left : chunk_size;
        const T *chunk = s.x + h * a.x.row + w;
        const float here = total(chunk, count, origin, 0.0f, false) / float(count);
        const float spread = total(chunk, count, origin, here, true);
        const float both = seen + float(count), delta = here - mean;
        mean += delta * (float(count) / both);
        squares += spread + delta * delta * (seen * float(count) / both);
        seen = both;
      }
    const float gain =
        a.scale[batch * a.shape.channels + channel] * inverse_root(squares / seen + a.eps);
    const float offset = a.shift[batch * a.shape.channels + channel] - mean * gain;
    for (int64_t h = 0; h < a.shape.height; ++h) {
      const T *residual = s.residual ? s.residual + h * a.residual.row : nullptr;
      T *y = s.y + h * a.y.row;
      each(s.x + h * a.x.row, a.shape.width, [&](int64_t i, vfloat x, int count) {
        vfloat value = (x - origin) * gain + offset;
        if (residual)
          value += count == kLanes ? load(residual + i) : load_some(residual + i, count);
        store_some_or_all(y + i, leaky(value, a.negative_slope), count);
      });
    }
  }

  // Sum of (x - origin - mean), or of its square, over `count` neighbours.
  static float total(const T *from, int64_t count, float origin, float mean, bool squared) {
    vfloat sum = {};
    each(from, count, [&](int64_t, vfloat x, int used) {
      vfloat d = x - origin - mean;
      if (squared)
        d *= d;
      if (used < kLanes)
        for (int lane = used; lane < kLanes; ++lane)
          d[lane] = 0.0f;
      sum += d;
    });
    float all = 0;
    for (int lane = 0; lane < kLanes; ++lane)
      all += sum[lane];
    return all;
  }

  static void store_some_or_all(T *to, vfloat value, int count) {
    if (count == kLanes)
      store(to, value);
    else
      store_some(to, value, count);
  }
};

// Rows that follow each other without a gap are one long row.
Adain flattened(Adain a) {
  const bool gapless = a.x.row == a.shape.width * a.x.column &&
                       a.y.row == a.shape.width * a.y.column &&
                       (!a.residual.data || a.residual.row == a.shape.width * a.residual.column);
  if (gapless) {
    a.shape.width *= a.shape.height;
    a.shape.height = 1;
  }
  return a;
}

template <class T, int blocks> void columns(const Adain &a, int threads) {
  constexpr int64_t wide = blocks * kLanes;
  const int64_t per_image = (a.shape.channels + wide - 1) / wide;
  const int64_t items = a.shape.batch * per_image;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1 && items > 1)
  for (int64_t item = 0; item < items; ++item) {
    const int64_t batch = item / per_image, first = item % per_image * wide;
    // The last block is moved back to be full: channels done twice get the same bits twice.
    const int64_t last = a.shape.channels - wide;
    Columns<T, blocks, false>::run(a, batch, first < last ? first : last, kLanes);
  }
}

template <class T> void narrow(const Adain &a, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1 && a.shape.batch > 1)
  for (int64_t batch = 0; batch < a.shape.batch; ++batch)
    Columns<T, 1, true>::run(a, batch, 0, int(a.shape.channels));
}

template <class T> void planes(const Adain &a, int threads) {
  const int64_t items = a.shape.batch * a.shape.channels;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1 && items > 1)
  for (int64_t item = 0; item < items; ++item)
    Plane<T>::run(a, item / a.shape.channels, item % a.shape.channels);
}

// Whether blocks that wide divide the channels and keep all threads about equally busy.
template <int blocks> bool fits(const Adain &a, int threads) {
  constexpr int64_t wide = blocks * kLanes;
  const int64_t items = a.shape.batch * a.shape.channels / wide;
  return a.shape.channels % wide == 0 && (items % threads == 0 || items >= 4 * threads);
}

template <class T> void run(const Adain &a, int threads) {
  if (!a.channels_last)
    planes<T>(a, threads);
  else if (a.shape.channels < kLanes)
    narrow<T>(a, threads);
  else if (fits<4>(a, threads))
    columns<T, 4>(a, threads);
  else if (fits<2>(a, threads))
    columns<T, 2>(a, threads);
  else
    columns<T, 1>(a, threads);
}

} // namespace

void adain(const Adain &given, int threads) {
  const Adain a = flattened(given);
  if (a.type == Type::f32)
    run<float>(a, threads);
  else
    run<bf16>(a, threads);
}

} // namespace avatar::AVATAR_ISA
