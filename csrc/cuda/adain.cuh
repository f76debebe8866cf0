// Adaptive instance normalisation, forward and backward, in one scheme.
//
// A block owns a group of channels of one image (channels-last) or one plane, and a part of its
// pixels. Each thread takes moments by Welford's method; threads are merged by Chan's formula, over
// shuffles within a warp and shared memory between warps. Where the groups fill the GPU each block
// takes all pixels and finishes in the same launch; else the pixels are split over blocks that
// write partial sums to scratch, and a second launch finishes.
#pragma once

#include "ops.h"
#include "types.cuh"

namespace avatar {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kMostSplits = 32;
constexpr int kSums = 5; // floats of one partial result

// Of a channel: count, mean and squared deviations of x; sums of grad and of grad * (x - origin).
struct Sums {
  float count, mean, squares, grad, grad_x;

  // `share` is one over the count, x included.
  __device__ void add(float x, float share) {
    const float delta = x - mean;
    mean += delta * share;
    squares += delta * (x - mean);
  }

  __device__ void merge(const Sums &other) {
    const float total = count + other.count;
    const float share = total > 0.0f ? other.count / total : 0.0f;
    const float delta = other.mean - mean;
    if (share > 0.0f) {
      mean += delta * share;
      squares += other.squares + delta * delta * count * share;
    }
    count = total;
    grad += other.grad;
    grad_x += other.grad_x;
  }

  __device__ Sums shuffled(int offset) const {
    constexpr unsigned all = 0xffffffffu;
    return {__shfl_xor_sync(all, count, offset), __shfl_xor_sync(all, mean, offset),
            __shfl_xor_sync(all, squares, offset), __shfl_xor_sync(all, grad, offset),
            __shfl_xor_sync(all, grad_x, offset)};
  }
};

// Forward leaves the members of the gradient null, backward those of the result.
template <class T> struct Job {
  const T *x, *residual, *grad, *y_in;
  T *y, *grad_x, *grad_residual;
  const float *scale, *shift;
  float *grad_scale, *grad_shift, *scratch;
  int64_t pixels;
  int channels, lanes, splits;
  float negative_slope, eps;
};

// Where this thread works. Channels-last: `lanes` threads side by side hold a pixel's group of
// channels. Planes: a thread holds `width` neighbouring pixels of one channel.
template <bool last, int width> struct Place {
  static constexpr int own = last ? width : 1;      // channels of a thread
  static constexpr int most = last ? 8 * width : 1; // channels of a block
  int lane, channel, row, rows;
  int64_t image, begin, end;
  bool active;

  template <class T> __device__ explicit Place(const Job<T> &job) {
    const int lanes = last ? job.lanes : 1;
    lane = threadIdx.x % lanes;
    row = threadIdx.x / lanes;
    rows = kThreads / lanes;
    channel = (blockIdx.y * lanes + lane) * own;
    active = channel < job.channels;
    image = int64_t(blockIdx.z) * job.channels * job.pixels;
    const int64_t steps = last ? job.pixels : job.pixels / width;
    const int64_t share = (steps + job.splits - 1) / job.splits;
    begin = min(steps, share * blockIdx.x);
    end = min(steps, begin + share);
  }

  template <class T> __device__ int64_t at(const Job<T> &job, int64_t step) const {
    return last ? image + step * job.channels + channel
                : image + channel * job.pixels + step * width;
  }

  template <class T> __device__ int64_t style(const Job<T> &job) const {
    return int64_t(blockIdx.z) * job.channels + channel;
  }
};

template <int width, class T>
__device__ void gradient(const Job<T> &job, int64_t at, float (&grad)[width]) {
  load<width>(job.grad + at, grad);
  if (job.y_in) {
    float y[width];
    load<width>(job.y_in + at, y);
#pragma unroll
    for (int i = 0; i < width; ++i)
      grad[i] = y[i] > 0.0f ? grad[i] : grad[i] * job.negative_slope;
  }
}

template <bool last, int width, bool backward, class T>
__device__ void accumulate(const Job<T> &job, const Place<last, width> &place, Sums *sums) {
  constexpr int own = Place<last, width>::own;
  for (int c = 0; c < own; ++c)
    sums[c] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
  if (!place.active)
    return;
  float count = 0.0f, share = 0.0f;
  float origin[own];
  load<own>(job.x + place.at(job, 0), origin);
  for (int64_t step = place.begin + place.row; step < place.end; step += place.rows) {
    const int64_t at = place.at(job, step);
    float x[width], grad[width];
    load<width>(job.x + at, x);
    if (backward)
      gradient<width>(job, at, grad);
#pragma unroll
    for (int i = 0; i < width; ++i) {
      if (i == 0 || !last) {
        count += 1.0f;
        share = __frcp_rn(count);
      }
      Sums &s = sums[last ? i : 0];
      s.add(x[i], share);
      if (backward) {
        s.grad += grad[i];
        s.grad_x += grad[i] * (x[i] - origin[last ? i : 0]);
      }
    }
  }
  for (int c = 0; c < own; ++c)
    sums[c].count = count;
}

// Afterwards `whole` holds the sums of the block's channels. All threads take part.
template <bool last, int width>
__device__ void gather(const Place<last, width> &place, int lanes, Sums *sums, Sums *whole) {
  constexpr int own = Place<last, width>::own, most = Place<last, width>::most;
  __shared__ Sums parts[kWarps][most];
  const int warp = threadIdx.x / 32, within = threadIdx.x % 32;
#pragma unroll
  for (int c = 0; c < own; ++c) {
    for (int offset = 16; offset >= lanes; offset /= 2)
      sums[c].merge(sums[c].shuffled(offset));
    if (within < lanes)
      parts[warp][place.lane * own + c] = sums[c];
  }
  __syncthreads();
  for (int c = threadIdx.x; c < lanes * own; c += kThreads) {
    Sums all = parts[0][c];
    for (int w = 1; w < kWarps; ++w)
      all.merge(parts[w][c]);
    whole[c] = all;
  }
  __syncthreads();
}

template <bool last, int width, class T>
__device__ void write_forward(const Job<T> &job, const Place<last, width> &place,
                              const Sums *whole) {
  constexpr int own = Place<last, width>::own;
  float mean[own], gain[own], shift[own];
#pragma unroll
  for (int c = 0; c < own; ++c) {
    const Sums &s = whole[place.lane * own + c];
    mean[c] = s.mean;
    gain[c] = job.scale[place.style(job) + c] * rsqrtf(s.squares / s.count + job.eps);
    shift[c] = job.shift[place.style(job) + c];
  }
  for (int64_t step = place.begin + place.row; step < place.end; step += place.rows) {
    const int64_t at = place.at(job, step);
    float x[width], residual[width];
    load<width>(job.x + at, x);
    if (job.residual)
      load<width>(job.residual + at, residual);
#pragma unroll
    for (int i = 0; i < width; ++i) {
      const int c = last ? i : 0;
      float y = (x[i] - mean[c]) * gain[c] + shift[c];
      if (job.residual)
        y += residual[i];
      x[i] = y > 0.0f ? y : y * job.negative_slope;
    }
    store<width>(job.y + at, x);
  }
}

template <bool last, int width, class T>
__device__ void write_backward(const Job<T> &job, const Place<last, width> &place,
                               const Sums *whole) {
  constexpr int own = Place<last, width>::own;
  float mean[own], inverse[own], gain[own], grad_shift[own], grad_scale[own], origin[own];
  load<own>(job.x + place.at(job, 0), origin);
#pragma unroll
  for (int c = 0; c < own; ++c) {
    const Sums &s = whole[place.lane * own + c];
    mean[c] = s.mean;
    inverse[c] = rsqrtf(s.squares / s.count + job.eps);
    gain[c] = job.scale[place.style(job) + c] * inverse[c];
    const float scale = inverse[c] * (s.grad_x - (s.mean - origin[c]) * s.grad);
    if (blockIdx.x == 0 && place.row == 0) {
      job.grad_scale[place.style(job) + c] = scale;
      job.grad_shift[place.style(job) + c] = s.grad;
    }
    grad_shift[c] = s.grad / s.count;
    grad_scale[c] = scale / s.count;
  }
  for (int64_t step = place.begin + place.row; step < place.end; step += place.rows) {
    const int64_t at = place.at(job, step);
    float x[width], grad[width];
    load<width>(job.x + at, x);
    gradient<width>(job, at, grad);
#pragma unroll
    for (int i = 0; i < width; ++i) {
      const int c = last ? i : 0;
      x[i] = gain[c] * (grad[i] - grad_shift[c] - (x[i] - mean[c]) * inverse[c] * grad_scale[c]);
    }
    store<width>(job.grad_x + at, x);
    if (job.grad_residual)
      store<width>(job.grad_residual + at, grad);
  }
}

template <bool last, int width, bool backward, class T>
__device__ void write(const Job<T> &job, const Place<last, width> &place, const Sums *whole) {
  if (!place.active)
    return;
  if (backward)
    write_backward(job, place, whole);
  else
    write_forward(job, place, whole);
}

template <bool last, int width, bool backward, class T>
__global__ void __launch_bounds__(kThreads) whole_kernel(Job<T> job) {
  __shared__ Sums whole[Place<last, width>::most];
  const Place<last, width> place(job);
  Sums sums[Place<last, width>::own];
  accumulate<last, width, backward>(job, place, sums);
  gather(place, last ? job.lanes : 1, sums, whole);
  write<last, width, backward>(job, place, whole);
}

// Scratch: [B, C, splits] sums.
template <bool last, int width, bool backward, class T>
__global__ void __launch_bounds__(kThreads) partial_kernel(Job<T> job) {
  constexpr int own = Place<last, width>::own;
  __shared__ Sums whole[Place<last, width>::most];
  const Place<last, width> place(job);
  Sums sums[own];
  accumulate<last, width, backward>(job, place, sums);
  gather(place, last ? job.lanes : 1, sums, whole);
  if (!place.active || place.row != 0)
    return;
  for (int c = 0; c < own; ++c)
    reinterpret_cast<Sums *>(job.scratch)[(place.style(job) + c) * job.splits + blockIdx.x] =
        whole[place.lane * own + c];
}

template <bool last, int width, bool backward, class T>
__global__ void __launch_bounds__(kThreads) finish_kernel(Job<T> job) {
  constexpr int own = Place<last, width>::own;
  __shared__ Sums whole[Place<last, width>::most];
  const Place<last, width> place(job);
  const int lanes = last ? job.lanes : 1;
  const int first = blockIdx.y * lanes * own;
  for (int c = threadIdx.x; c < lanes * own && first + c < job.channels; c += kThreads) {
    const Sums *parts = reinterpret_cast<const Sums *>(job.scratch) +
                        (int64_t(blockIdx.z) * job.channels + first + c) * job.splits;
    Sums all = parts[0];
    for (int i = 1; i < job.splits; ++i)
      all.merge(parts[i]);
    whole[c] = all;
  }
  __syncthreads();
  write<last, width, backward>(job, place, whole);
}

// How the work is cut: decided from the shape alone, so that scratch can be sized beforehand.
struct Plan {
  int lanes, splits;
};

inline Plan plan(bool last, int width, const Shape &shape) {
  static const int processors = [] {
    int device = 0, count = 0;
    cudaGetDevice(&device);
    cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device);
    return count > 0 ? count : 1;
  }();
  const int64_t wanted = 2 * processors;
  const int64_t packs = last ? (shape.channels + width - 1) / width : shape.channels;
  int lanes = last ? 8 : 1;
  while (lanes > 2 && (lanes / 2 >= packs || shape.batch * (packs / lanes) < wanted / 4))
    lanes /= 2;
  const int64_t blocks = shape.batch * ((packs + lanes - 1) / lanes);
  const int64_t steps = shape.height * shape.width / (last ? 1 : width);
  const int64_t useful = steps * lanes / (4 * kThreads); // at least four steps a thread
  int64_t splits = wanted / blocks;
  splits = splits > useful ? useful : splits;
  splits = splits > kMostSplits ? kMostSplits : splits < 1 ? 1 : splits;
  return {lanes, int(splits)};
}

template <bool last, int width, bool backward, class T>
int launch(Job<T> job, const Shape &shape, cudaStream_t stream) {
  const Plan cut = plan(last, width, shape);
  job.pixels = shape.height * shape.width;
  job.channels = int(shape.channels);
  job.lanes = cut.lanes;
  job.splits = cut.splits;
  const int group = last ? cut.lanes * width : 1;
  const dim3 grid(cut.splits, unsigned((shape.channels + group - 1) / group),
                  unsigned(shape.batch));
  if (cut.splits == 1) {
    whole_kernel<last, width, backward><<<grid, kThreads, 0, stream>>>(job);
  } else {
    partial_kernel<last, width, backward><<<grid, kThreads, 0, stream>>>(job);
    finish_kernel<last, width, backward><<<grid, kThreads, 0, stream>>>(job);
  }
  return cudaGetLastError();
}

template <bool backward, class T>
int dispatch(const Job<T> &job, bool last, const Shape &shape, cudaStream_t stream) {
  constexpr int width = 16 / sizeof(T);
  const int64_t row = last ? shape.channels : shape.height * shape.width;
  const bool packed =
      packs(row, sizeof(T),
            {job.x, job.residual, job.grad, job.y_in, job.y, job.grad_x, job.grad_residual});
  if (last)
    return packed ? launch<true, width, backward>(job, shape, stream)
                  : launch<true, 1, backward>(job, shape, stream);
  return packed ? launch<false, width, backward>(job, shape, stream)
                : launch<false, 1, backward>(job, shape, stream);
}

} // namespace avatar
