// Kernels that make pictures, maps and flows.

#include "exercise.h"

namespace {

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
  // More than the caches are left with.
  adain(Type::f32, true, 64, 151, 150, 0, true);
  adain(Type::bf16, true, 96, 170, 171, 0, false);
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
  // More than the caches are left with.
  warp(Type::f32, true, 64, images[2], nodes[1], {150, 151}, false);
  warp(Type::bf16, true, 64, images[2], nodes[1], {215, 214}, true);
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

} // namespace

void exercise_images() {
  all_of_adain();
  all_of_warp();
  all_of_compose();
  all_of_yuv420();
  all_of_faded_shuffle();
  all_of_spread();
  all_of_spread_over_grid();
  all_of_signed_distance();
}
