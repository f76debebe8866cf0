// What a kernel gets: pointers, sizes, strides. No torch and no Python in here or below.
#pragma once

#include <cstdint>

namespace avatar {

// The numbers are shared with src/avatar/ops/_native.py.
enum class Type : int { f32 = 0, bf16 = 1, f16 = 2, u8 = 3 };

// A [B, C, H, W] array; strides are in elements.
struct View {
  void *data;
  int64_t batch, channel, row, column;
};

struct Shape {
  int64_t batch, channels, height, width;
};

// y = leaky_relu(instance_norm(x) * scale + shift + residual)
struct Adain {
  Type type;
  bool channels_last; // x, residual and y all have unit channel stride; else unit column stride
  Shape shape;
  View x, residual, y;        // residual.data may be null
  const float *scale, *shift; // [B, C], contiguous
  float negative_slope, eps;
};

// Bilinear sampling of `image` at positions interpolated between the nodes of `grid`.
struct Warp {
  Type type;
  bool channels_last; // image and y have unit channel stride; else unit column stride
  Shape image_shape;
  int64_t height, width; // of y
  View image, y;
  const float *grid; // [B, 2, grid_height, grid_width], contiguous: x, y in image pixels
  int64_t grid_height, grid_width;
  bool border; // clamp positions to the image; else what lies outside is zero
};

// out = sum_k w_k values_k / (sum_k w_k + floor), w_k = weights_k exp(-|at - points_k|^2 / (2
// sigma^2))
struct Spread {
  int64_t batch, places, count;
  const float *at, *points, *values; // [B, places, 2], [B, count, 2], [B, count, 2], contiguous
  const float *weights;              // [B, count]; null for ones
  float *out;                        // [B, places, 2]
  float sigma, floor;
};

// Spread at the nodes of an upright grid, where e^-(dx^2 + dy^2) is a product: a point costs
// rows + columns exponentials, not rows * columns.
struct SpreadOverGrid {
  int64_t rows, columns, count;
  const float *y, *x;           // [rows], [columns]
  const float *points, *values; // [count, 2]
  const float *weights;         // [count]; null for ones
  float *out;                   // [2, rows, columns]
  float sigma, floor;
  float *scratch; // count * (rows + columns) floats, each rounded up to a multiple of 16
};

// Something painted over a picture: `to_paint` takes a pixel (x, y, 1) to a place of `paint`.
struct Layer {
  // What to add to RGB, and the share of what is below to drop: [size, size, 4], for CUDA
  // [4, size, size].
  const float *paint;
  int64_t size;
  float to_paint[6];
};

// A photo whose region is warped by a grid of positions in the photo, then painted over.
struct Compose {
  int64_t height, width;
  const uint8_t *photo;             // [height, width, 3]
  uint8_t *out;                     // likewise
  int64_t left, top, right, bottom; // the region
  const float *positions;           // [2, grid_height, grid_width], spanning the region
  int64_t grid_height, grid_width;
  const Layer *layers; // in the order of painting
  int64_t layer_count;
};

// RGB to the planes of a video frame, BT.709 in limited range. A chroma sample is the mean of the
// 2 x 2 pixels it covers; an odd side counts its last row or column twice.
struct Yuv420 {
  int64_t height, width; // of rgb; of y: both rounded up to even; of u and v: half of that
  const uint8_t *rgb;    // [height, width, 3]
  int64_t rgb_row;
  uint8_t *y, *u, *v;
  int64_t y_row, chroma_row, chroma_column; // strides; a chroma_column of 2 interleaves u and v
};

// Four times the distance of pixel centres of the square [-1, 1]^2 to a closed polygon, positive
// inside, clipped to [-1, 1].
struct SignedDistance {
  int64_t batch, corners, size; // corners <= 64
  const float *polygon;         // [B, corners, 2], contiguous
  float *out;                   // [B, size, size]
};

// Weights of a layer lie in panels of so many outputs, the last one filled up with zeros: for each
// input a word for each output of the first half of the panel, which holds the bfloat16 of that
// output below and that of its counterpart in the second half above.
constexpr int64_t kDensePanel = 64;

// A dense layer, `depth` residual ones behind it, each of which adds what it makes of its input and
// of the input that it saw `dilations[k]` steps ago, and `tail` dense ones at the end. Each gives
// nothing below zero but the last of the tail. A row is one step of one stream, the same bits
// whatever the others are; those of the same stream are in the order of their steps.
struct Tower {
  int64_t rows, inputs, width, depth, tail;
  const int64_t *dilations;
  const int64_t *tail_outputs;
  const uint16_t *weight; // in panels: [width, inputs], [width, 2 * width] for each residual layer,
                          // and those of the tail
  const float *bias;      // of all layers in turn
  const float *x;         // [rows, inputs]
  float *const *rings;    // of the stream of each row: [sum of dilations, width], what layers saw
  const int64_t *steps;   // [rows], how many there were before in the stream
  float *y;               // [rows, outputs of the last layer]
  float *scratch;         // [rows, 2 * width + twice the most outputs of a layer]
};

// Log-mel features of sound that comes in blocks, relative to a level that follows the loudness.
// A frame is the same bits whatever the others are.
struct LogMel {
  int64_t streams, frames;     // frames of each stream
  const float *const *samples; // of each stream: [window + (frames - 1) * hop]
  double *const *levels;       // of each stream: before its first frame, then after its last
  float *features;             // [streams, frames, stride]: bands, then the power of the frame
  int64_t stride, hop;
  int64_t window_size;
  const float *window;                    // [window_size <= kMelFft]
  const float *twiddles;                  // [kMelFft / 2, 2]: cos and sin of 2 pi k / kMelFft
  int64_t bands;                          // <= kMostBands
  const int64_t *band_first, *band_count; // which of the kMelFft / 2 + 1 bins each band sums
  const float *band_weight;               // of all bands in turn
  float attack, release, level_floor, band_floor; // log10
};
constexpr int64_t kMelFft = 512, kMostBands = 128;

// What a network says of the mouth becomes curves and visemes that keep to their ranges.
struct Mouth {
  int64_t rows, curves, visemes;
  const float *raw;    // [rows, curves + visemes]: curves, viseme logits
  const float *voiced; // [rows]: speech logits
  float gate_from, gate_span;
  int64_t pressed;         // the viseme that presses the lips together
  const float *opens;      // [curves], the share that it takes of each
  const float *parted;     // [curves], what the other sounds of speech add
  const float *not_parted; // [visemes], how surely each takes that away
  float *shape;            // [rows, curves + visemes]
  float *speech;           // [rows]
};

// [height + 2, width + 2, channels], of which the first and last rows and columns are zero.
struct Map {
  int64_t height, width, channels; // at least 16 channels, an even number
  void *data;
};

// A convolution of a map with 3 x 3 weights, and what becomes of it. Python builds these as rows
// of eleven integers.
struct Link {
  int64_t source;                // which map
  int64_t target, first_channel; // -1: the result itself is given, after its bias
  int64_t residual;              // a map to add before the activation; -1: none
  int64_t outputs, stride;       // 1 or 2
  int64_t taps;                  // 9, or with stride 1 the 16 of Winograd; then sides are even
  int64_t doubled;               // each pixel is repeated 2 x 2 after the normalisation
  int64_t style;                 // where its scales, less 1, and then its shifts begin
  int64_t weights, biases;       // where its own begin
};

constexpr int64_t kChainTiles = 24;

// Links one after the other, on one core.
struct Chain {
  Type type; // of maps and weights: f32 or bf16
  const Map *maps;
  const Link *links;
  int64_t link_count;
  // Of each link [outputs / 16, taps, channels / n, 16, n], n numbers in 32 bits: outputs and
  // channels are filled up with zeros.
  const void *weights;
  const float *biases, *styles;
  // Of floats, twice the size of the first map: each 2 x 2 pixels are its first 12 channels, as of
  // torch's pixel_unshuffle. Its data may be null.
  View picture;
  float *out; // [height, width, outputs, filled up to a multiple of 16] of the last link
  // Aligned to 64 bytes: 2 * outputs + 16 * kChainTiles * 32 floats, 16 * kChainTiles * channels +
  // pixels * outputs of `type`, for any of the links.
  void *work;
  float negative_slope, eps;
};

// A decoder's answer at full size, as by torch's pixel_shuffle, faded out beyond a border.
struct FadedShuffle {
  int64_t height, width; // of the answer; width at most 2048
  const float *answer;   // [height, width, 12 and perhaps more]
  int64_t answer_column;
  const float *border; // [height, width] signed distance, clipped at -1, where nothing is left
  float *out;          // [3, 2 * height, 2 * width]
};

// The gradient of Adain. Everything is dense in the layout of x.
struct AdainBackward {
  Type type;
  bool channels_last;
  Shape shape;
  const void *grad, *x, *y;     // y: the forward result; null if there is no activation
  void *grad_x, *grad_residual; // grad_residual is written only if y is given
  const float *scale;
  float *grad_scale, *grad_shift; // [B, C]
  float negative_slope, eps;
};

// One build of the CPU kernels. A kernel returns the same bits for any number of threads.
struct CpuKernels {
  const char *isa;
  void (*adain)(const Adain &, int threads);
  void (*warp)(const Warp &, int threads);
  void (*spread)(const Spread &, int threads);
  void (*signed_distance)(const SignedDistance &, int threads);
  void (*spread_over_grid)(const SpreadOverGrid &, int threads);
  void (*compose)(const Compose &, int threads);
  void (*yuv420)(const Yuv420 &, int threads);
  void (*tower)(const Tower &);
  void (*chain)(const Chain &);
  void (*faded_shuffle)(const FadedShuffle &);
  void (*log_mel)(const LogMel &);
  void (*mouth)(const Mouth &);
};

// The builds that this processor can run, best first; `count` is set to how many.
const CpuKernels *cpu_kernels(int *count);

// CUDA kernels run on `stream` of the current device and return at once. Their arrays are dense.
// They return a cudaError_t.
// `scratch` has the given number of floats; none is needed where that is 0.
int64_t cuda_adain_scratch(Type type, bool channels_last, const Shape &shape);
int cuda_adain(const Adain &, float *scratch, uintptr_t stream);
int cuda_adain_backward(const AdainBackward &, float *scratch, uintptr_t stream);
int cuda_warp(const Warp &, uintptr_t stream);
int cuda_spread(const Spread &, uintptr_t stream);
int cuda_spread_over_grid(const SpreadOverGrid &, uintptr_t stream); // without scratch
constexpr int kMostCudaLayers = 8;
// `to_paint` has that of all layers, on the device: [layer_count, 2, 3].
int cuda_compose(const Compose &, const float *to_paint, uintptr_t stream);
const char *cuda_error_text(int error);

} // namespace avatar
