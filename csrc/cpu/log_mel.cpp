// Log-mel features, a vector of frames at a time: each lane is a frame of its own, so that a frame
// is the same bits in any place and any company.

#include "ops.h"
#include "vector.h"

namespace avatar::AVATAR_ISA {
namespace {

constexpr int kHalf = kMelFft / 2;
constexpr int kBits = 8;
static_assert(1 << kBits == kHalf, "");
constexpr float kTiny = 1e-12f;

struct Complex {
  vfloat real, imaginary;
};

// log10 of positive numbers (after Cephes' logf).
inline vfloat log10(vfloat x) {
  const vuint bits = bit_cast<vuint>(x) - 0x3f3504f3u; // from sqrt(1/2) on
  vfloat exponent = __builtin_convertvector(bit_cast<vint>(bits) >> 23, vfloat);
  x = bit_cast<vfloat>((bits & 0x007fffffu) + 0x3f3504f3u) - 1.0f;
  const vfloat squared = x * x;
  vfloat y = 7.0376836292e-2f * x - 1.1514610310e-1f;
  y = y * x + 1.1676998740e-1f;
  y = y * x - 1.2420140846e-1f;
  y = y * x + 1.4249322787e-1f;
  y = y * x - 1.6668057665e-1f;
  y = y * x + 2.0000714765e-1f;
  y = y * x - 2.4999993993e-1f;
  y = y * x + 3.3333331174e-1f;
  y = y * x * squared - 0.5f * squared + x;
  return exponent * 0.301029996f + y * 0.434294482f;
}

struct Reversed {
  uint8_t place[kHalf] = {};

  constexpr Reversed() {
    for (int i = 0; i < kHalf; ++i)
      for (int bit = 0; bit < kBits; ++bit)
        place[i] |= (i >> bit & 1) << (kBits - 1 - bit);
  }
};
constexpr Reversed kReversed;

// The discrete Fourier transform of kHalf numbers whose places are bit-reversed, in place.
void transform(const LogMel &a, Complex *z) {
  for (int half = 1; half < kHalf; half *= 2)
    for (int k = 0; k < half; ++k) {
      const float *turn = a.twiddles + 2 * (kHalf / half * k);
      const float cosine = turn[0], sine = -turn[1];
      for (int i = k; i < kHalf; i += 2 * half) {
        Complex &p = z[i], &q = z[i + half];
        const vfloat real = q.real * cosine - q.imaginary * sine;
        const vfloat imaginary = q.real * sine + q.imaginary * cosine;
        q = {p.real - real, p.imaginary - imaginary};
        p = {p.real + real, p.imaginary + imaginary};
      }
    }
}

// The powers of the kHalf + 1 bins of a real signal whose even and odd samples were transformed as
// the real and imaginary parts of `z`.
void powers_of(const LogMel &a, const Complex *z, vfloat *powers) {
  for (int k = 0; k <= kHalf; ++k) {
    const Complex &p = z[k % kHalf], &q = z[(kHalf - k) % kHalf];
    const float cosine = k < kHalf ? a.twiddles[2 * k] : -1.0f;
    const float sine = k < kHalf ? a.twiddles[2 * k + 1] : 0.0f;
    const vfloat even_real = p.real + q.real, even_imaginary = p.imaginary - q.imaginary;
    const vfloat odd_real = p.imaginary + q.imaginary, odd_imaginary = q.real - p.real;
    const vfloat real = even_real + odd_real * cosine + odd_imaginary * sine;
    const vfloat imaginary = even_imaginary + odd_imaginary * cosine - odd_real * sine;
    powers[k] = (real * real + imaginary * imaginary) * 0.25f;
  }
}

// log10 of the bands and, behind them, of their sum, for up to kLanes frames from `first` on.
void spectra(const LogMel &a, int64_t first, int count, float (*bands)[kLanes]) {
  float padded[kMelFft][kLanes] = {};
  for (int lane = 0; lane < count; ++lane) {
    const int64_t frame = first + lane;
    const float *samples = a.samples[frame / a.frames] + frame % a.frames * a.hop;
    for (int64_t i = 0; i < a.window_size; ++i)
      padded[i][lane] = samples[i] * a.window[i];
  }
  Complex z[kHalf];
  for (int i = 0; i < kHalf; ++i)
    z[kReversed.place[i]] = {load(padded[2 * i]), load(padded[2 * i + 1])};
  transform(a, z);
  vfloat powers[kHalf + 1];
  powers_of(a, z, powers);
  const float *weight = a.band_weight;
  vfloat total = {};
  for (int64_t band = 0; band < a.bands; ++band) {
    vfloat sum = {};
    for (int64_t k = 0; k < a.band_count[band]; ++k)
      sum += powers[a.band_first[band] + k] * *weight++;
    total += sum;
    store(bands[band], log10(sum + kTiny));
  }
  store(bands[a.bands], log10(total + kTiny));
}

inline double follow(const LogMel &a, double level, double power) {
  const double risen = power - level < a.attack ? power : level + a.attack;
  const double fallen = level - a.release;
  level = risen > fallen ? risen : fallen;
  return level > a.level_floor ? level : a.level_floor;
}

} // namespace

void log_mel(const LogMel &a) {
  float bands[kMostBands + 1][kLanes];
  for (int64_t first = 0; first < a.streams * a.frames; first += kLanes) {
    const int64_t left = a.streams * a.frames - first;
    const int count = int(left < kLanes ? left : kLanes);
    spectra(a, first, count, bands);
    for (int lane = 0; lane < count; ++lane) {
      const int64_t frame = first + lane;
      double &level = *a.levels[frame / a.frames];
      level = follow(a, level, bands[a.bands][lane]);
      float *features = a.features + frame * a.stride;
      for (int64_t band = 0; band <= a.bands; ++band) {
        const float value = bands[band][lane] - float(level);
        features[band] = value > a.band_floor ? value : a.band_floor;
      }
    }
  }
}

} // namespace avatar::AVATAR_ISA
