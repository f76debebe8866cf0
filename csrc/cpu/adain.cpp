// Adaptive instance normalisation with the activation fused: x is read from memory once.
//
// Each work item owns whole channels (a block of them, or one plane), so statistics need no
// exchange between threads and the bits do not depend on how many there are. Variance: within a
// short chunk, sums relative to the chunk's first pixel (being one of the values, it can cost no
// more than the factor of the chunk's length in precision); chunks are merged by Chan's formula.
// Everything is relative to the first pixel of all, so a large common offset costs nothing.

#ifdef _OPENMP
#include <omp.h>
#endif

#include "moments.h"
#include "ops.h"
#include "streaming.h"
#include "vector.h"

namespace avatar::AVATAR_ISA {
namespace {

constexpr int64_t kChunk = 64;
constexpr int64_t kChunks = 4; // of a slice, if it can be: merging costs something too
constexpr int64_t kMostSlices = 16;
constexpr int64_t kMostChannels = 512; // at a time
constexpr int64_t kWorthThreads = 16384;

#ifdef _OPENMP
inline int thread_number() { return omp_get_thread_num(); }
inline int thread_count() { return omp_get_num_threads(); }
#else
inline int thread_number() { return 0; }
inline int thread_count() { return 1; }
#endif

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

// Neighbouring channels of one pixel, as many vectors as registers take well. With `partial` there
// are fewer channels than lanes.
template <class T, int blocks, bool partial> struct Band {
  static constexpr int64_t kChannels = blocks * kLanes;
  vfloat value[blocks];

  static inline Band load(const T *from, int64_t channels) {
    Band band;
    if constexpr (partial) {
      band.value[0] = load_some(from, int(channels));
    } else if constexpr (blocks == 1) {
      band.value[0] = ::load(from);
    } else {
      for (int i = 0; i < blocks; i += 2) {
        const Two two = load_two(from + i * kLanes);
        band.value[i] = two.first;
        band.value[i + 1] = two.second;
      }
    }
    return band;
  }

  // Numbers of the same channels, in the same order.
  static inline Band style(const float *from, int64_t channels) {
    Band band;
    if constexpr (blocks == 1) {
      band.value[0] = partial ? load_some(from, int(channels)) : ::load(from);
    } else {
      for (int i = 0; i < blocks; i += 2) {
        const Two two = in_order_of<T>(from + i * kLanes);
        band.value[i] = two.first;
        band.value[i + 1] = two.second;
      }
    }
    return band;
  }

  inline void store(T *to, int64_t channels) const {
    if constexpr (partial) {
      store_some(to, value[0], int(channels));
    } else if constexpr (blocks == 1) {
      ::store(to, value[0]);
    } else {
      for (int i = 0; i < blocks; i += 2)
        store_two(to + i * kLanes, {value[i], value[i + 1]});
    }
  }

  // `to` is aligned.
  inline void stream(T *to) const {
    if constexpr (blocks > 1)
      for (int i = 0; i < blocks; i += 2)
        stream_two(to + i * kLanes, {value[i], value[i + 1]});
  }
};

// Channels-last, up to kMostChannels channels of one image. Its pixels are cut into slices, in a
// way that depends on its shape alone; threads share the slices, and merge their moments in order.
template <class T, int blocks, bool partial> class Columns {
  using Bands = Band<T, blocks, partial>;
  static constexpr int64_t kMostVectors = kMostChannels / kLanes;

public:
  // Moments of all slices.
  struct Scratch {
    Moments moments[kMostSlices][kMostVectors];
  };

  Columns(const Adain &a, int64_t batch, int64_t first, int64_t channels)
      : a(a), s(source<T>(a, batch, first)), channels(channels),
        bands((channels + Bands::kChannels - 1) / Bands::kChannels),
        streamed(blocks > 1 && streams<T>(a.y, a.shape)),
        scale(a.scale + batch * a.shape.channels + first),
        shift(a.shift + batch * a.shape.channels + first) {}

  static int64_t chunks(const Adain &a) {
    return a.shape.height * ((a.shape.width + kChunk - 1) / kChunk);
  }
  static int64_t slices(const Adain &a) {
    const int64_t wanted = (chunks(a) + kChunks - 1) / kChunks;
    return wanted < kMostSlices ? wanted : kMostSlices;
  }

  void measure(int64_t slice, Scratch &scratch) const {
    Moments *moments = scratch.moments[slice];
    std::memset(static_cast<void *>(moments), 0, sizeof(Moments) * bands * blocks);
    float seen = 0;
    for (int64_t chunk = begin(slice); chunk < begin(slice + 1); ++chunk) {
      const Place at = place(chunk);
      const Merge how(seen, float(at.count));
      for (int64_t band = 0; band < bands; ++band)
        add(at, first_channel(band), how, moments + band * blocks);
      seen += float(at.count);
    }
  }

  // Afterwards `apply` may be called.
  void finish(const Scratch &scratch) {
    for (int64_t band = 0; band < bands; ++band) {
      const int64_t channel = first_channel(band);
      const Bands from = Bands::load(s.x + channel, channels);
      const Bands scales = Bands::style(scale + channel, channels);
      const Bands shifts = Bands::style(shift + channel, channels);
      for (int i = 0; i < blocks; ++i) {
        const int64_t vector = band * blocks + i;
        Moments all = scratch.moments[0][vector];
        float seen = pixels(0);
        for (int64_t slice = 1; slice < slices(a); ++slice) {
          all.merge(scratch.moments[slice][vector], Merge(seen, pixels(slice)));
          seen += pixels(slice);
        }
        origin[vector] = from.value[i];
        gain[vector] = scales.value[i] * inverse_root(all.squares / seen + a.eps);
        offset[vector] = shifts.value[i] - all.mean * gain[vector];
      }
    }
  }

  // Backwards, so that the pixels measured last come first: they are still in the cache.
  void apply(int64_t slice) const {
    for (int64_t chunk = begin(slice + 1); chunk-- > begin(slice);)
      for (int64_t band = 0; band < bands; ++band) {
        if (s.residual)
          write<true>(place(chunk), band);
        else
          write<false>(place(chunk), band);
      }
    if (streamed)
      end_streaming();
  }

private:
  const Adain &a;
  const Source<T> s;
  const int64_t channels, bands;
  const bool streamed;
  const float *scale, *shift;
  vfloat origin[kMostVectors], gain[kMostVectors], offset[kMostVectors];

  struct Place {
    int64_t row, column, count;
  };

  int64_t begin(int64_t slice) const { return slice * chunks(a) / slices(a); }

  Place place(int64_t chunk) const {
    const int64_t across = (a.shape.width + kChunk - 1) / kChunk;
    const int64_t column = chunk % across * kChunk, left = a.shape.width - column;
    return {chunk / across, column, left < kChunk ? left : kChunk};
  }

  float pixels(int64_t slice) const {
    int64_t count = 0;
    for (int64_t chunk = begin(slice); chunk < begin(slice + 1); ++chunk)
      count += place(chunk).count;
    return float(count);
  }

  // The last band is moved back to be full: channels done twice get the same bits twice.
  int64_t first_channel(int64_t band) const {
    const int64_t first = band * Bands::kChannels, last = channels - Bands::kChannels;
    return partial || first < last ? first : last;
  }

  void add(const Place &at, int64_t channel, const Merge &how, Moments *moments) const {
    // Several sums at a time: one addition must not wait for the last.
    constexpr int ways = blocks < 4 ? 4 / blocks : 1;
    const T *x = s.x + at.row * a.x.row + at.column * a.x.column + channel;
    const Bands first = Bands::load(x, channels), origin = Bands::load(s.x + channel, channels);
    vfloat sum[ways][blocks] = {}, squares[ways][blocks] = {};
    const auto one = [&](int64_t pixel, int way) {
      const Bands here = Bands::load(x + pixel * a.x.column, channels);
      for (int i = 0; i < blocks; ++i) {
        const vfloat d = here.value[i] - first.value[i];
        sum[way][i] += d;
        squares[way][i] += d * d;
      }
    };
    int64_t pixel = 0;
    for (; pixel + ways <= at.count; pixel += ways)
      for (int way = 0; way < ways; ++way)
        one(pixel + way, way);
    for (; pixel < at.count; ++pixel)
      one(pixel, 0);
    for (int i = 0; i < blocks; ++i) {
      vfloat all = sum[0][i], all_squares = squares[0][i];
      for (int way = 1; way < ways; ++way) {
        all += sum[way][i];
        all_squares += squares[way][i];
      }
      const vfloat mean = all / float(at.count);
      moments[i].merge(
          {first.value[i] - origin.value[i] + mean, positive(all_squares - mean * all)}, how);
    }
  }

  template <bool with_residual> void write(const Place &at, int64_t band) const {
    const int64_t channel = first_channel(band), vector = band * blocks;
    const auto from = [&](T *data, const View &view) {
      return data + at.row * view.row + at.column * view.column + channel;
    };
    const T *x = from(const_cast<T *>(s.x), a.x);
    const T *residual = with_residual ? from(const_cast<T *>(s.residual), a.residual) : nullptr;
    T *y = from(s.y, a.y);
    vfloat o[blocks], g[blocks], f[blocks];
    for (int i = 0; i < blocks; ++i) {
      o[i] = origin[vector + i];
      g[i] = gain[vector + i];
      f[i] = offset[vector + i];
    }
    const float slope = a.negative_slope;
    const int64_t step = a.x.column, y_step = a.y.column, residual_step = a.residual.column;
    for (int64_t pixel = 0; pixel < at.count; ++pixel, x += step, y += y_step) {
      Bands here = Bands::load(x, channels);
      for (int i = 0; i < blocks; ++i)
        here.value[i] = (here.value[i] - o[i]) * g[i] + f[i];
      if constexpr (with_residual) {
        const Bands added = Bands::load(residual, channels);
        for (int i = 0; i < blocks; ++i)
          here.value[i] += added.value[i];
        residual += residual_step;
      }
      for (int i = 0; i < blocks; ++i)
        here.value[i] = leaky(here.value[i], slope);
      if (streamed)
        here.stream(y);
      else
        here.store(y, channels);
    }
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

// Up to kMostChannels channels of one image.
template <class T, int blocks, bool partial>
Columns<T, blocks, partial> part_of(const Adain &a, int64_t part, int64_t groups) {
  const int64_t first = part % groups * kMostChannels, left = a.shape.channels - first;
  return {a, part / groups, first, left < kMostChannels ? left : kMostChannels};
}

// Each thread takes whole parts.
template <class T, int blocks, bool partial>
void apart(const Adain &a, int64_t parts, int64_t groups, int threads) {
  using Part = Columns<T, blocks, partial>;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (int64_t part = 0; part < parts; ++part) {
    typename Part::Scratch scratch;
    Part own = part_of<T, blocks, partial>(a, part, groups);
    for (int64_t slice = 0; slice < Part::slices(a); ++slice)
      own.measure(slice, scratch);
    own.finish(scratch);
    for (int64_t slice = Part::slices(a); slice-- > 0;)
      own.apply(slice);
  }
}

// All threads share the slices of one part after the other; a barrier between measuring and
// applying.
template <class T, int blocks, bool partial>
void together(const Adain &a, int64_t parts, int64_t groups, int threads) {
  using Part = Columns<T, blocks, partial>;
  // While one thread still reads what another wrote, a third is already at the next part.
  typename Part::Scratch scratch[2];
#pragma omp parallel num_threads(threads)
  for (int64_t part = 0; part < parts; ++part) {
    Part own = part_of<T, blocks, partial>(a, part, groups);
    const int64_t begin = Part::slices(a) * thread_number() / thread_count();
    const int64_t end = Part::slices(a) * (thread_number() + 1) / thread_count();
    for (int64_t slice = begin; slice < end; ++slice)
      own.measure(slice, scratch[part % 2]);
#pragma omp barrier
    own.finish(scratch[part % 2]);
    for (int64_t slice = end; slice-- > begin;)
      own.apply(slice);
  }
}

template <class T, int blocks, bool partial> void columns(const Adain &a, int threads) {
  const int64_t groups = (a.shape.channels + kMostChannels - 1) / kMostChannels;
  const int64_t parts = a.shape.batch * groups;
  if (a.shape.batch * a.shape.channels * a.shape.height * a.shape.width < kWorthThreads)
    threads = 1;
  if (parts % threads == 0 || parts >= 4 * threads)
    apart<T, blocks, partial>(a, parts, groups, threads);
  else
    together<T, blocks, partial>(a, parts, groups, threads);
}

template <class T> void planes(const Adain &a, int threads) {
  const int64_t items = a.shape.batch * a.shape.channels;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1 && items > 1)
  for (int64_t item = 0; item < items; ++item)
    Plane<T>::run(a, item / a.shape.channels, item % a.shape.channels);
}

template <class T> void run(const Adain &a, int threads) {
  const int64_t channels = a.shape.channels;
  if (!a.channels_last)
    planes<T>(a, threads);
  else if (channels < kLanes)
    columns<T, 1, true>(a, threads);
  else if (channels < 2 * kLanes)
    columns<T, 1, false>(a, threads);
  else if (channels % (4 * kLanes))
    columns<T, 2, false>(a, threads);
  else
    columns<T, 4, false>(a, threads);
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
