// Bilinear sampling at positions interpolated between control nodes. Work items are output rows.

#include "warp_row.h"

namespace avatar::AVATAR_ISA {
namespace {

template <class T> void rows(const Warp &a, int threads) {
  const int64_t items = a.image_shape.batch * a.height;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1 && items > 1)
  for (int64_t item = 0; item < items; ++item)
    Row<T>(a, item / a.height, item % a.height).run();
}

} // namespace

void warp(const Warp &a, int threads) {
  switch (a.type) {
  case Type::f32:
    return rows<float>(a, threads);
  case Type::u8:
    return rows<uint8_t>(a, threads);
  default:
    return rows<bf16>(a, threads);
  }
}

} // namespace avatar::AVATAR_ISA
