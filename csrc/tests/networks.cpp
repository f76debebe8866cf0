// Networks, and what stands before and behind them.

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "exercise.h"

namespace {

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

} // namespace

void exercise_networks() {
  all_of_tower();
  all_of_chain();
  all_of_log_mel();
  all_of_mouth();
}
