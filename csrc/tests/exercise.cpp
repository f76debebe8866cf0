// Runs every CPU kernel over odd sizes, on arrays that end where their data end, so that a
// sanitizer sees whatever leaves them. Every build must agree with the last, the portable one, and
// have the same bits with any number of threads. Ends with 1 at the first difference.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "ops.h"

namespace {

using avatar::CpuKernels;
using avatar::Type;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
const Type kTypes[] = {Type::f32, Type::bf16, Type::u8};
const int kThreads[] = {1, 2, 3};

std::mt19937 random_bits(1);

float uniform(float low, float high) {
  return std::uniform_real_distribution<float>(low, high)(random_bits);
}

std::vector<float> floats(int64_t count, float low = -2.0f, float high = 2.0f) {
  std::vector<float> all(count);
  for (float &value : all)
    value = uniform(low, high);
  return all;
}

std::vector<uint8_t> bytes(int64_t count) {
  std::vector<uint8_t> all(count);
  for (uint8_t &value : all)
    value = uint8_t(random_bits());
  return all;
}

// Numbers as a kernel keeps them.
class Array {
public:
  Array(Type type, int64_t count) : type(type), data(count * size()) {}

  static Array random(Type type, int64_t count) {
    Array made(type, count);
    for (int64_t i = 0; i < count; ++i) {
      const float value = uniform(-2.0f, 2.0f);
      uint32_t bits;
      std::memcpy(&bits, &value, sizeof(bits));
      if (type == Type::f32)
        std::memcpy(made.data.data() + 4 * i, &bits, 4);
      else if (type == Type::bf16)
        std::memcpy(made.data.data() + 2 * i, reinterpret_cast<const char *>(&bits) + 2, 2);
      else
        made.data[i] = uint8_t(bits);
    }
    return made;
  }

  int64_t size() const { return type == Type::f32 ? 4 : type == Type::bf16 ? 2 : 1; }

  std::vector<float> values() const {
    std::vector<float> all(data.size() / size());
    for (size_t i = 0; i < all.size(); ++i) {
      uint32_t bits = 0;
      if (type == Type::f32)
        std::memcpy(&bits, data.data() + 4 * i, 4);
      else if (type == Type::bf16)
        std::memcpy(reinterpret_cast<char *>(&bits) + 2, data.data() + 2 * i, 2);
      std::memcpy(&all[i], &bits, sizeof(bits));
      if (type == Type::u8)
        all[i] = float(data[i]);
    }
    return all;
  }

  Type type;
  std::vector<uint8_t> data;
};

// Strides of [batch, channels, height, width] with `gap` elements more in a row than it needs.
struct Layout {
  int64_t channel, row, column, batch;

  Layout(bool last, int64_t channels, int64_t height, int64_t width, int64_t gap = 0)
      : channel(last ? 1 : height * (width + gap)),
        row(last ? width * channels + gap : width + gap), column(last ? channels : 1),
        batch(last ? height * row : channels * channel) {}

  avatar::View of(Array &array) const { return {array.data.data(), batch, channel, row, column}; }
};

void fail(const std::string &name, const char *what, const char *isa) {
  std::printf("%s: the %s build %s\n", name.c_str(), isa, what);
  std::exit(1);
}

bool same_bits(const std::vector<float> &a, const std::vector<float> &b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), 4 * a.size()) == 0);
}

bool near(const std::vector<float> &a, const std::vector<float> &b, float limit) {
  for (size_t i = 0; i < a.size(); ++i)
    if (std::isnan(a[i]) != std::isnan(b[i]) || std::fabs(a[i] - b[i]) > limit)
      return false;
  return a.size() == b.size();
}

int cases = 0;

using Run = std::function<std::vector<float>(const CpuKernels &, int threads)>;

void compare(const std::string &name, float limit, const Run &run) {
  int count = 0;
  const CpuKernels *builds = avatar::cpu_kernels(&count);
  const std::vector<float> right = run(builds[count - 1], 1);
  for (int k = 0; k < count; ++k) {
    const std::vector<float> alone = run(builds[k], kThreads[0]);
    if (!near(alone, right, limit))
      fail(name, "differs from the portable one", builds[k].isa);
    for (int threads : kThreads)
      if (!same_bits(alone, run(builds[k], threads)))
        fail(name, "depends on the number of threads", builds[k].isa);
  }
  ++cases;
}

void adain(Type type, bool last, int64_t channels, int64_t height, int64_t width, int64_t gap,
           bool add) {
  constexpr int64_t batch = 2;
  const Layout layout(last, channels, height, width, gap);
  Array x = Array::random(type, batch * layout.batch),
        residual = Array::random(type, batch * layout.batch);
  const auto scale = floats(batch * channels), shift = floats(batch * channels);
  const float limit = type == Type::f32 ? 1e-3f : 1e-1f;
  compare("adain of " + std::to_string(channels), limit, [&](const CpuKernels &k, int threads) {
    Array y(type, batch * layout.batch);
    avatar::View added = layout.of(residual);
    added.data = add ? added.data : nullptr;
    k.adain({type,
             last,
             {batch, channels, height, width},
             layout.of(x),
             added,
             layout.of(y),
             scale.data(),
             shift.data(),
             0.2f,
             0.1f},
            threads);
    return y.values();
  });
}

void all_of_adain() {
  const int64_t sides[][2] = {{1, 1}, {3, 7}, {1, 65}, {31, 40}};
  for (int64_t channels : {1, 3, 8, 17, 31, 40, 64, 530})
    for (const auto &side : sides)
      for (int options = 0; options < 16; ++options)
        adain(kTypes[options & 1], options & 2, channels, side[0], side[1], options & 4 ? 5 : 0,
              options & 8);
}

void warp(Type type, bool last, int64_t channels, const int64_t (&image)[2],
          const int64_t (&nodes)[2], const int64_t (&size)[2], bool border) {
  constexpr int64_t batch = 2;
  const Layout from(last, channels, image[0], image[1], 3), to(last, channels, size[0], size[1]);
  Array x = Array::random(type, batch * from.batch);
  auto grid = floats(batch * 2 * nodes[0] * nodes[1], -3.0f, float(image[0] + image[1]));
  const float odd[] = {kNan, 1e30f, -1e30f, std::numeric_limits<float>::infinity()};
  for (size_t i = 0; i < grid.size(); i += 7)
    grid[i] = odd[i / 7 % 4];
  // Bytes that lie at a half may round to either side.
  const float limit = type == Type::f32 ? 1e-3f : type == Type::bf16 ? 1e-1f : 1.0f;
  compare("warp of " + std::to_string(channels), limit, [&](const CpuKernels &k, int threads) {
    Array y(type, batch * to.batch);
    k.warp({type,
            last,
            {batch, channels, image[0], image[1]},
            size[0],
            size[1],
            from.of(x),
            to.of(y),
            grid.data(),
            nodes[0],
            nodes[1],
            border},
           threads);
    return y.values();
  });
}

void all_of_warp() {
  const int64_t images[][2] = {{1, 1}, {2, 3}, {19, 9}};
  const int64_t nodes[][2] = {{1, 1}, {2, 2}, {5, 150}};
  const int64_t sizes[][2] = {{1, 1}, {3, 17}, {5, 150}, {7, 67}};
  for (int64_t channels : {1, 2, 3, 4, 5, 16, 17, 33, 64})
    for (int k = 0; k < 4; ++k)
      for (Type type : kTypes)
        for (int options = 0; options < 4; ++options)
          warp(type, options & 1, channels, images[k % 3], nodes[(k + channels) % 3], sizes[k],
               options & 2);
}

void all_of_spread() {
  for (int64_t places : {0, 1, 17, 900})
    for (int64_t count : {0, 1, 23}) {
      const auto at = floats(4 * places), points = floats(4 * count), values = floats(4 * count),
                 weights = floats(2 * count, 0.0f, 1.0f);
      compare("spread", 1e-3f, [&](const CpuKernels &k, int threads) {
        std::vector<float> out(4 * places);
        k.spread({2, places, count, at.data(), points.data(), values.data(),
                  count == 23 ? weights.data() : nullptr, out.data(), 0.4f, 0.1f},
                 threads);
        return out;
      });
    }
}

void all_of_spread_over_grid() {
  for (int64_t rows : {0, 1, 5, 64})
    for (int64_t columns : {0, 1, 16, 33, 65})
      for (int64_t count : {0, 1, 23}) {
        const auto x = floats(columns), y = floats(rows), points = floats(2 * count),
                   values = floats(2 * count), weights = floats(count, 0.0f, 1.0f);
        compare("spread_over_grid", 1e-3f, [&](const CpuKernels &k, int threads) {
          std::vector<float> out(2 * rows * columns);
          std::vector<float> scratch(count * ((rows + 15) / 16 * 16 + (columns + 15) / 16 * 16));
          k.spread_over_grid({rows, columns, count, y.data(), x.data(), points.data(),
                              values.data(), count == 23 ? weights.data() : nullptr, out.data(),
                              0.4f, 0.1f, scratch.data()},
                             threads);
          return out;
        });
      }
}

void all_of_signed_distance() {
  for (int64_t corners : {1, 2, 5, 64})
    for (int64_t size : {1, 5, 17, 70}) {
      const auto polygon = floats(4 * corners);
      compare("signed_distance", 1e-3f, [&](const CpuKernels &k, int threads) {
        std::vector<float> out(2 * size * size);
        k.signed_distance({2, corners, size, polygon.data(), out.data()}, threads);
        return out;
      });
    }
}

void compose(int64_t height, int64_t width, const int64_t (&region)[4]) {
  const auto photo = bytes(3 * height * width);
  auto positions = floats(2 * 4 * 5, -3.0f, float(width + 3));
  positions[3] = kNan;
  const auto paint = floats(4 * 9 * 9, -50.0f, 300.0f);
  const float far = 3e38f;
  const avatar::Layer layers[] = {
      {paint.data(), 9, {1.0f, 0.3f, -2.0f, -0.3f, 1.0f, 1.5f}},
      {paint.data(), 9, {0.0f, 0.2f, 3.0f, 0.1f, 0.0f, far}},
      {paint.data(), 9, {far, -far, far, -far, far, -far}},
      {paint.data(), 9, {kNan, 0.0f, 0.0f, 0.0f, 0.0f, far}},
      {nullptr, 0, {1.0f, 0.0f, 0.0f, 0.0f, 1.0f, 0.0f}},
  };
  // A layer may round to either side of a half once more. What comes of infinities is not told.
  for (int64_t count = 0; count <= 5; ++count)
    compare("compose", count < 3 ? 1.0f + float(count) : 255.0f,
            [&](const CpuKernels &k, int threads) {
              std::vector<uint8_t> out(photo.size());
              k.compose({height, width, photo.data(), out.data(), region[0], region[1], region[2],
                         region[3], positions.data(), 4, 5, layers, count},
                        threads);
              return std::vector<float>(out.begin(), out.end());
            });
}

void all_of_compose() {
  compose(1, 1, {0, 0, 1, 1});
  compose(17, 33, {0, 0, 33, 17});
  compose(17, 33, {5, 2, 30, 16});
  compose(17, 33, {5, 2, 5, 16});
  compose(9, 150, {1, 0, 150, 9});
}

void all_of_yuv420() {
  for (int64_t height : {1, 2, 5, 270})
    for (int64_t width : {1, 2, 3, 127, 128, 129, 255})
      for (int64_t step : {1, 2}) {
        const int64_t rows = (height + 1) / 2, columns = (width + 1) / 2;
        const auto rgb = bytes(3 * height * width);
        compare("yuv420", 0.0f, [&](const CpuKernels &k, int threads) {
          std::vector<uint8_t> y(4 * rows * columns), chroma(2 * rows * columns);
          uint8_t *v = chroma.data() + (step == 2 ? 1 : rows * columns);
          k.yuv420({height, width, rgb.data(), 3 * width, y.data(), chroma.data(), v, 2 * columns,
                    columns * step, step},
                   threads);
          std::vector<float> all(y.begin(), y.end());
          all.insert(all.end(), chroma.begin(), chroma.end());
          return all;
        });
      }
}

void all_of_tower() {
  const int64_t dilations[] = {1, 3, 2}, steps[] = {5, 0, 1, 2, 7, 7, 7};
  for (int64_t width : {1, 17, 70})
    for (int64_t rows : {1, 2, 7})
      for (int64_t tail : {0, 1, 2}) {
        const int64_t inputs = 40, depth = 3, remembered = 6, outputs[] = {width + 60, 3};
        const auto packed = [](int64_t out, int64_t in) {
          return (out + avatar::kDensePanel - 1) / avatar::kDensePanel * avatar::kDensePanel * in;
        };
        int64_t weights = packed(width, inputs) + depth * packed(width, 2 * width);
        int64_t biases = (1 + depth) * width, before = width;
        for (int64_t k = 0; k < tail; ++k) {
          weights += packed(outputs[k], before);
          biases += before = outputs[k];
        }
        const auto weight = Array::random(Type::bf16, weights);
        const auto bias = floats(biases, -1e-6f, 1e-6f), x = floats(rows * inputs, -1e-6f, 1e-6f);
        compare("tower", 1e-3f, [&](const CpuKernels &k, int) {
          std::vector<float> rings(rows * remembered * width), y(rows * before),
              scratch(rows * 2 * (width + width + 60));
          std::vector<float *> places;
          for (int64_t row = 0; row < rows; ++row) // the second to fourth row are of one stream
            places.push_back(&rings[(row == 2 || row == 3 ? 1 : row) * remembered * width]);
          k.tower({rows, inputs, width, depth, tail, dilations, outputs,
                   reinterpret_cast<const uint16_t *>(weight.data.data()), bias.data(), x.data(),
                   places.data(), steps, y.data(), scratch.data()});
          return y;
        });
      }
}

void all_of_log_mel() {
  const int64_t hop = 160, window_size = 400;
  const auto window = floats(window_size), twiddles = floats(avatar::kMelFft, -1, 1);
  for (int64_t streams : {1, 3, 9})
    for (int64_t frames : {1, 4})
      for (int64_t bands : {1, 80}) {
        const int64_t samples = window_size + (frames - 1) * hop, stride = bands + 3;
        const auto sound = floats(streams * samples, -1, 1), weight = floats(2 * bands, 0, 1);
        std::vector<int64_t> first(bands), count(bands, 2);
        for (int64_t band = 0; band < bands; ++band)
          first[band] = 255 - 3 * band;
        compare("log_mel", 1e-3f, [&](const CpuKernels &k, int) {
          std::vector<float> features(streams * frames * stride);
          std::vector<double> levels(streams, -3.0);
          std::vector<const float *> sounds;
          std::vector<double *> followed;
          for (int64_t stream = 0; stream < streams; ++stream) {
            sounds.push_back(&sound[stream * samples]);
            followed.push_back(&levels[stream]);
          }
          k.log_mel({streams, frames, sounds.data(), followed.data(), features.data(), stride, hop,
                     window_size, window.data(), twiddles.data(), bands, first.data(), count.data(),
                     weight.data(), 0.2f, 0.004f, -5.0f, -6.0f});
          return features;
        });
      }
}

void all_of_mouth() {
  for (int64_t rows : {0, 1, 5}) {
    const int64_t curves = 16, visemes = 15;
    const auto raw = floats(rows * (curves + visemes), -300, 300), voiced = floats(rows, -300, 300),
               opens = floats(curves, 0, 1), parted = floats(curves, 0, 1),
               not_parted = floats(visemes, 0, 2);
    compare("mouth", 1e-5f, [&](const CpuKernels &k, int) {
      std::vector<float> shape(raw.size()), speech(rows);
      k.mouth({rows, curves, visemes, raw.data(), voiced.data(), 0.3f, 0.4f, 1, opens.data(),
               parted.data(), not_parted.data(), shape.data(), speech.data()});
      return shape;
    });
  }
}

// Of one map's `inputs` channels: every kind of link, the last giving three colours.
void chain(Type type, int64_t inputs, int64_t inner, int64_t height, int64_t width, int64_t taps) {
  const bool shown = taps == 9;
  const int64_t joined = inner + 16, filled = (inner + 15) / 16 * 16;
  struct Size {
    int64_t height, width, channels;
  };
  const Size sizes[] = {{height, width, inputs},
                        {height / 2, width / 2, inner},
                        {height / 2, width / 2, joined},
                        {height, width, inner}};
  const int64_t first = 9 * inputs * filled, tiled = 16 * inner * filled;
  const int64_t direct = 9 * joined * filled;
  const avatar::Link links[] = {
      {0, 1, 0, -1, inner, 2, 9, 0, 0, 0, 0},
      {1, 2, 16, -1, inner, 1, 16, 0, 2 * inner, first, 0},
      {2, 1, 0, 1, inner, 1, 9, 0, 4 * inner, first + tiled, 0},
      {1, 3, 0, 3, inner, 1, 16, 1, 6 * inner, first + tiled + direct, 0},
      {3, -1, 0, -1, 3, 1, taps, 0, 0, first + 2 * tiled + direct, 0},
  };
  const auto weights = Array::random(type, first + 2 * tiled + direct + taps * inner * 16);
  const auto styles = floats(8 * inner, -0.2f, 0.2f), biases = floats(16);
  auto picture = floats(12 * height * width);
  std::vector<Array> filled_maps;
  for (const Size &size : sizes)
    filled_maps.push_back(
        Array::random(type, (size.height + 2) * (size.width + 2) * size.channels));
  const float limit = type == Type::f32 ? 0.02f : 8.0f;
  compare("chain of " + std::to_string(inner), limit, [&](const CpuKernels &k, int) {
    std::vector<Array> own = filled_maps;
    std::vector<avatar::Map> maps;
    for (int i = 0; i < 4; ++i)
      maps.push_back({sizes[i].height, sizes[i].width, sizes[i].channels, own[i].data.data()});
    // A multiple of 64 bytes, as it must be aligned to.
    const int64_t tiles = 16 * avatar::kChainTiles, channels = std::max(joined, inputs);
    const Array typed(type, tiles * channels + height * width * filled);
    const size_t size = 4 * (2 * filled + tiles * 32) + typed.data.size();
    const std::unique_ptr<void, void (*)(void *)> work(std::aligned_alloc(64, size), std::free);
    std::vector<float> out(height * width * 16);
    k.chain({type,
             maps.data(),
             links,
             5,
             weights.data.data(),
             biases.data(),
             styles.data(),
             {shown ? picture.data() : nullptr, 0, 4 * height * width, 2 * width, 1},
             out.data(),
             work.get(),
             0.2f,
             1e-5f});
    return out;
  });
}

void all_of_chain() {
  const int64_t sides[][2] = {{4, 4}, {8, 12}, {12, 32}};
  for (Type type : {Type::f32, Type::bf16})
    for (int64_t inner : {16, 24, 50})
      for (const auto &side : sides) {
        chain(type, 16, inner, side[0], side[1], 9);
        chain(type, 34, inner, side[0], side[1], 16);
      }
}

void all_of_faded_shuffle() {
  for (int64_t height : {1, 3, 20})
    for (int64_t width : {1, 5, 40})
      for (int64_t column : {12, 16}) {
        const auto answer = floats(height * width * column),
                   border = floats(height * width, -1.0f, 1.0f);
        compare("faded_shuffle", 1e-4f, [&](const CpuKernels &k, int) {
          std::vector<float> out(12 * height * width);
          k.faded_shuffle({height, width, answer.data(), column, border.data(), out.data()});
          return out;
        });
      }
}

} // namespace

int main() {
  all_of_adain();
  all_of_warp();
  all_of_spread();
  all_of_spread_over_grid();
  all_of_signed_distance();
  all_of_compose();
  all_of_yuv420();
  all_of_tower();
  all_of_chain();
  all_of_faded_shuffle();
  all_of_log_mel();
  all_of_mouth();
  int count = 0;
  avatar::cpu_kernels(&count);
  std::printf("%d cases agree in %d builds\n", cases, count);
}
