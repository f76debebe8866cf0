// The end of a step that hears: a few numbers for each row, so nothing here is worth a vector.

#include <cmath>

#include "ops.h"

namespace avatar::AVATAR_ISA {
namespace {

inline float clipped(float value) { return value < 0.0f ? 0.0f : value > 1.0f ? 1.0f : value; }

void softmax(const float *logits, int64_t count, float *shares) {
  float most = logits[0], sum = 0.0f;
  for (int64_t k = 1; k < count; ++k)
    most = logits[k] > most ? logits[k] : most;
  for (int64_t k = 0; k < count; ++k)
    sum += shares[k] = std::exp(logits[k] - most);
  for (int64_t k = 0; k < count; ++k)
    shares[k] /= sum;
}

} // namespace

void mouth(const Mouth &a) {
  for (int64_t row = 0; row < a.rows; ++row) {
    const float *raw = a.raw + row * (a.curves + a.visemes);
    float *curves = a.shape + row * (a.curves + a.visemes), *visemes = curves + a.curves;
    const float voiced = 1.0f / (1.0f + std::exp(-a.voiced[row]));
    const float speech = clipped((voiced - a.gate_from) / a.gate_span);
    softmax(raw + a.curves, a.visemes, visemes);
    float parts = 1.0f;
    for (int64_t k = 0; k < a.visemes; ++k)
      parts -= visemes[k] * a.not_parted[k];
    parts = parts < 0.0f ? 0.0f : parts;
    for (int64_t k = 0; k < a.curves; ++k) {
      const float open = raw[k] < 0.0f ? 0.0f : raw[k];
      const float value = open * (1.0f - visemes[a.pressed] * a.opens[k]) + parts * a.parted[k];
      curves[k] = (value < 1.0f ? value : 1.0f) * speech;
    }
    for (int64_t k = 0; k < a.visemes; ++k)
      visemes[k] *= speech;
    visemes[0] += 1.0f - speech;
    a.speech[row] = speech;
  }
}

} // namespace avatar::AVATAR_ISA
