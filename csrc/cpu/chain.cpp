// A chain of convolutions with 3 x 3 weights, each followed by adaptive instance normalisation and
// a leaky ReLU, on one core.
//
// Many of stride 1 are Winograd's F(2 x 2, 3 x 3) (Lavin & Gray 2016, arXiv 1509.09308,
// section 4.1): a tile of 2 x 2 pixels takes 16 products of an input with an output, not 36. Its
// tile of 4 x 4 inputs becomes 16 numbers, each of them is multiplied with its own matrix, and the
// 16 sums become the tile. Both ways end in the same products of rows of inputs with weights.

#include <algorithm>

#include "moments.h"
#include "ops.h"
#include "vector.h"

namespace avatar::AVATAR_ISA {
namespace {

constexpr int kGroup = 16; // outputs whose weights lie side by side
constexpr int kVectors = kGroup / kLanes;
// As many sums at a time as registers hold: of so many places and groups.
constexpr int kPlaces = kLanes == 16 ? 12 : 6;
constexpr int kGroups = kLanes == 16 ? 2 : 1;
constexpr int kRow = kGroups * kGroup; // of sums
constexpr int kTerms = 16;
static_assert(kChainTiles % kPlaces == 0, "the products of tiles are made kPlaces at a time");

// A vector of weights of neighbouring outputs, and what it is multiplied with.
template <class T> struct Factor;

template <> struct Factor<float> {
  static constexpr int kInputs = 1;
  typedef vfloat Input;
  vfloat weight;

  explicit Factor(const float *from) : weight(load(from)) {}
  static Input input(const float *from) { return fill(*from); }
  void add(vfloat &sum, Input x) const { sum += weight * x; }
};

// Two inputs at a time.
template <> struct Factor<bf16> {
  static constexpr int kInputs = 2;
#if defined(__AVX512BF16__)
  typedef __m512bh Input;
  __m512bh weight;

  explicit Factor(const bf16 *from) { std::memcpy(&weight, from, sizeof(weight)); }
  static Input input(const bf16 *from) {
    int32_t pair;
    std::memcpy(&pair, from, sizeof(pair));
    return bit_cast<__m512bh>(_mm512_set1_epi32(pair));
  }
  void add(vfloat &sum, Input x) const {
    sum = bit_cast<vfloat>(_mm512_dpbf16_ps(bit_cast<__m512>(sum), weight, x));
  }
#else
  struct Input {
    float first, second;
  };
  Two weight;

  explicit Factor(const bf16 *from) : weight(load_two(from)) {}
  static Input input(const bf16 *from) { return {to_float(from[0]), to_float(from[1])}; }
  void add(vfloat &sum, Input x) const { sum += weight.first * x.first + weight.second * x.second; }
#endif
};

// Where the inputs of kPlaces places lie: at each of `offsets` from each of `from`.
template <class T> struct Inputs {
  const T *from[kPlaces];
  const int64_t *offsets;
  int64_t count, channels;
};

// Sums over all inputs for `groups` groups of outputs, whose weights lie `weights_of_group` apart.
template <class T, int groups>
void products(const Inputs<T> &in, const T *weight, int64_t weights_of_group, float *out) {
  constexpr int vectors = groups * kVectors, step = Factor<T>::kInputs;
  vfloat sum[kPlaces][vectors] = {};
  for (int64_t k = 0; k < in.count; ++k)
    for (int64_t at = in.offsets[k], end = at + in.channels; at < end;
         at += step, weight += kGroup * step) {
      const auto factor = [&](int v) {
        return Factor<T>(weight + v / kVectors * weights_of_group + v % kVectors * kLanes * step);
      };
      for (int p = 0; p < kPlaces; ++p) {
        const auto x = Factor<T>::input(in.from[p] + at);
        for (int v = 0; v < vectors; ++v)
          factor(v).add(sum[p][v], x);
      }
    }
  for (int p = 0; p < kPlaces; ++p)
    for (int v = 0; v < vectors; ++v)
      store(out + p * kRow + v * kLanes, sum[p][v]);
}

// One link. `S` is the type in which its sums wait for the normalisation.
template <class T, class S> class Step {
public:
  Step(const Chain &a, const Link &link)
      : a(a), link(link), source(a.maps[link.source]), height(source.height / link.stride),
        width(source.width / link.stride), outputs((link.outputs + kGroup - 1) / kGroup * kGroup),
        weights(static_cast<const T *>(a.weights) + link.weights) {
    moments = static_cast<Moments *>(a.work);
    terms = reinterpret_cast<float *>(moments + outputs / kLanes);
    tiles = reinterpret_cast<T *>(terms + kTerms * kChainTiles * kRow);
    const auto behind = tiles + kTerms * kChainTiles * source.channels;
    sums = reinterpret_cast<S *>(link.target < 0 ? static_cast<void *>(a.out) : behind);
  }

  void run() {
    if (link.taps == kTerms)
      by_tiles();
    else
      by_pixels();
    if (link.target < 0)
      give();
    else
      adapt();
  }

private:
  const Chain &a;
  const Link &link;
  const Map &source;
  const int64_t height, width, outputs;
  const T *weights;
  Moments *moments; // [outputs / kLanes]
  float *terms;     // [kTerms, kChainTiles, kRow]
  T *tiles;         // [kTerms, kChainTiles, channels]
  S *sums;          // [height * width and a few, outputs]

  int64_t row() const { return (source.width + 2) * source.channels; }

  const T *inputs_of(int64_t y, int64_t x) const {
    return static_cast<const T *>(source.data) + y * row() + x * source.channels;
  }

  // For all groups of outputs: `use(group, how many)`.
  template <class Use> void each_groups(const Use &use) const {
    const int64_t groups = outputs / kGroup;
    for (int64_t group = 0; group < groups; group += kGroups)
      use(group, groups - group < kGroups ? groups - group : kGroups);
  }

  void multiply(const Inputs<T> &in, int64_t group, int64_t groups, int64_t taps, int64_t tap,
                float *out) const {
    const int64_t of_tap = source.channels * kGroup, of_group = taps * of_tap;
    const T *weight = weights + group * of_group + tap * of_tap;
    if (groups == 1)
      products<T, 1>(in, weight, of_group, out);
    else
      products<T, kGroups>(in, weight, of_group, out);
  }

  void by_pixels() const {
    int64_t offsets[9];
    for (int k = 0; k < 9; ++k)
      offsets[k] = k / 3 * row() + k % 3 * source.channels;
    const int64_t pixels = height * width;
    each_groups([&](int64_t group, int64_t groups) {
      for (int64_t first = 0; first < pixels; first += kPlaces) {
        Inputs<T> in{{}, offsets, 9, source.channels};
        for (int p = 0; p < kPlaces; ++p) {
          const int64_t pixel = std::min(first + p, pixels - 1);
          in.from[p] = inputs_of(pixel / width * link.stride, pixel % width * link.stride);
        }
        multiply(in, group, groups, 9, 0, terms);
        const int64_t count = std::min<int64_t>(kPlaces, pixels - first);
        for (int64_t c = 0; c < groups * kGroup; c += kLanes) {
          Sample sample(load(terms + c));
          for (int64_t p = 0; p < count; ++p)
            keep(first + p, group * kGroup + c, load(terms + p * kRow + c), sample);
          note(group * kGroup + c, sample, first, count);
        }
      }
    });
  }

  void by_tiles() const {
    const int64_t across = width / 2, count = height / 2 * across;
    for (int64_t first = 0; first < count; first += kChainTiles) {
      const int64_t some = std::min(count - first, kChainTiles);
      int64_t corners[kChainTiles]; // of tiles: their first pixels
      for (int64_t i = 0; i < some; ++i) {
        const int64_t y = (first + i) / across * 2, x = (first + i) % across * 2;
        corners[i] = y * width + x;
        cut(i, inputs_of(y, x));
      }
      each_groups([&](int64_t group, int64_t groups) {
        for (int term = 0; term < kTerms; ++term)
          for (int64_t i = 0; i < some; i += kPlaces)
            multiply_tiles(term, i, group, groups);
        for (int64_t c = 0; c < groups * kGroup; c += kLanes)
          join(corners, some, c, group * kGroup + c, 4 * first);
      });
    }
  }

  void multiply_tiles(int term, int64_t first, int64_t group, int64_t groups) const {
    static constexpr int64_t offset = 0;
    Inputs<T> in{{}, &offset, 1, source.channels};
    const int64_t begin = term * kChainTiles + first;
    for (int p = 0; p < kPlaces; ++p)
      in.from[p] = tiles + (begin + p) * source.channels;
    multiply(in, group, groups, kTerms, term, terms + begin * kRow);
  }

  // The 16 numbers of the tile whose 4 x 4 inputs begin at `from`, B^T d B.
  void cut(int64_t tile, const T *from) const {
    for (int64_t vector = 0; vector < source.channels; vector += kLanes) {
      // The last one is moved back to be full.
      const int64_t c = std::min(vector, source.channels - kLanes);
      vfloat rows[4][4];
      for (int y = 0; y < 4; ++y) {
        const T *at = from + y * row() + c;
        vfloat d[4];
        for (int x = 0; x < 4; ++x)
          d[x] = load(at + x * source.channels);
        rows[y][0] = d[0] - d[2], rows[y][1] = d[1] + d[2];
        rows[y][2] = d[2] - d[1], rows[y][3] = d[1] - d[3];
      }
      T *to = tiles + tile * source.channels + c;
      const int64_t step = kChainTiles * source.channels;
      for (int x = 0; x < 4; ++x) {
        store(to + x * step, rows[0][x] - rows[2][x]);
        store(to + (4 + x) * step, rows[1][x] + rows[2][x]);
        store(to + (8 + x) * step, rows[2][x] - rows[1][x]);
        store(to + (12 + x) * step, rows[1][x] - rows[3][x]);
      }
    }
  }

  // Tiles of 2 x 2 pixels from their 16 sums, A^T m A, a vector of channels.
  void join(const int64_t *corners, int64_t count, int64_t column, int64_t channel,
            int64_t before) const {
    constexpr int64_t step = kChainTiles * kRow;
    vfloat first = {};
    for (int k = 0; k < 12; ++k)
      if (k % 4 < 3)
        first += load(terms + k * step + column);
    Sample sample(first);
    for (int64_t i = 0; i < count; ++i) {
      const float *from = terms + i * kRow + column;
      vfloat above[4], below[4];
      for (int k = 0; k < 4; ++k) {
        const vfloat m1 = load(from + (4 + k) * step), m2 = load(from + (8 + k) * step);
        above[k] = load(from + k * step) + m1 + m2;
        below[k] = m1 - m2 - load(from + (12 + k) * step);
      }
      keep(corners[i], channel, above[0] + above[1] + above[2], sample);
      keep(corners[i] + 1, channel, above[1] - above[2] - above[3], sample);
      keep(corners[i] + width, channel, below[0] + below[1] + below[2], sample);
      keep(corners[i] + width + 1, channel, below[1] - below[2] - below[3], sample);
    }
    note(channel, sample, before, 4 * count);
  }

  // Some values of a vector of channels, from the first of them on.
  struct Sample {
    vfloat origin, sum = {}, squares = {};

    explicit Sample(vfloat origin) : origin(origin) {}
  };

  void keep(int64_t pixel, int64_t channel, vfloat value, Sample &sample) const {
    store(sums + pixel * outputs + channel, value);
    const vfloat d = value - sample.origin;
    sample.sum += d;
    sample.squares += d * d;
  }

  void note(int64_t channel, const Sample &sample, int64_t before, int64_t count) const {
    Moments &all = moments[channel / kLanes];
    if (before == 0)
      all = Moments();
    const vfloat mean = sample.sum / float(count);
    all.merge({sample.origin + mean, positive(sample.squares - mean * sample.sum)},
              Merge(float(before), float(count)));
  }

  // The sums themselves, with their bias.
  void give() const {
    for (int64_t i = 0; i < height * width * outputs; i += kLanes)
      store(sums + i, load(sums + i) + load(a.biases + link.biases + i % outputs));
  }

  void adapt() const {
    for (int64_t c = 0; c < link.outputs; c += kLanes) {
      const int count = int(std::min<int64_t>(kLanes, link.outputs - c));
      if (count == kLanes)
        adapt(
            c, [](const auto *from) { return load(from); },
            [](T *to, vfloat value) { store(to, value); });
      else
        adapt(
            c, [count](const auto *from) { return load_some(from, count); },
            [count](T *to, vfloat value) { store_some(to, value, count); });
    }
  }

  // A vector of channels, of which `get` and `put` take those that there are.
  template <class Get, class Put> void adapt(int64_t c, const Get &get, const Put &put) const {
    const Map &target = a.maps[link.target];
    const auto begin = [&](const Map &map, int64_t channel) {
      return static_cast<T *>(map.data) + (map.width + 3) * map.channels + channel;
    };
    T *to = begin(target, link.first_channel + c);
    const Map *residual = link.residual < 0 ? nullptr : a.maps + link.residual;
    const T *added = residual ? begin(*residual, c) : nullptr;
    const auto finish = [&](int64_t y, int64_t x, vfloat value) {
      const int64_t place = y * (target.width + 2) + x;
      if (residual)
        value += get(added + place * residual->channels);
      put(to + place * target.channels, leaky(value, a.negative_slope));
    };
    const float *scales = a.styles + link.style, *shifts = scales + link.outputs;
    const Moments here = moments[c / kLanes];
    const vfloat variance = here.squares / float(height * width);
    const vfloat gain = (1.0f + get(scales + c)) * inverse_root(variance + a.eps);
    const vfloat shift = get(shifts + c);
    const S *from = sums + c;
    for (int64_t y = 0; y < height; ++y)
      for (int64_t x = 0; x < width; ++x, from += outputs) {
        const vfloat value = (load(from) - here.mean) * gain + shift;
        if (!link.doubled) {
          finish(y, x, value);
          continue;
        }
        for (int k = 0; k < 4; ++k)
          finish(2 * y + k / 2, 2 * x + k % 2, value);
      }
  }
};

template <class T> void show(const View &picture, const Map &map) {
  for (int64_t y = 0; y < map.height; ++y)
    for (int64_t x = 0; x < map.width; ++x) {
      const float *from =
          static_cast<const float *>(picture.data) + 2 * y * picture.row + 2 * x * picture.column;
      float all[16] = {};
      for (int k = 0; k < 12; ++k)
        all[k] = from[k / 4 * picture.channel + k / 2 % 2 * picture.row + k % 2 * picture.column];
      T *to = static_cast<T *>(map.data) + ((y + 1) * (map.width + 2) + x + 1) * map.channels;
      for (int k = 0; k < 12; k += kLanes)
        store_some(to + k, load(all + k), std::min(kLanes, 12 - k));
    }
}

template <class T> void run(const Chain &a) {
  if (a.picture.data)
    show<T>(a.picture, a.maps[0]);
  for (int64_t k = 0; k < a.link_count; ++k) {
    if (a.links[k].target < 0)
      Step<T, float>(a, a.links[k]).run();
    else
      Step<T, T>(a, a.links[k]).run();
  }
}

} // namespace

void chain(const Chain &a) {
  if (a.type == Type::f32)
    run<float>(a);
  else
    run<bf16>(a);
}

} // namespace avatar::AVATAR_ISA
