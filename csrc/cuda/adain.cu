#include "adain.cuh"

namespace avatar {
namespace {

template <class T> int run(const Adain &a, float *scratch, cudaStream_t stream) {
  Job<T> job = {};
  job.x = static_cast<const T *>(a.x.data);
  job.residual = static_cast<const T *>(a.residual.data);
  job.y = static_cast<T *>(a.y.data);
  job.scale = a.scale;
  job.shift = a.shift;
  job.scratch = scratch;
  job.negative_slope = a.negative_slope;
  job.eps = a.eps;
  return dispatch<false>(job, a.channels_last, a.shape, stream);
}

} // namespace

int64_t cuda_adain_scratch(Type type, bool channels_last, const Shape &shape) {
  // Arrays that cannot be packed are cut finer, never into more splits than this.
  const int width = type == Type::f32 ? 4 : 8;
  const int most =
      max(plan(channels_last, width, shape).splits, plan(channels_last, 1, shape).splits);
  return most == 1 ? 0 : shape.batch * shape.channels * most * kSums;
}

int cuda_adain(const Adain &a, float *scratch, uintptr_t stream) {
  const auto on = reinterpret_cast<cudaStream_t>(stream);
  switch (a.type) {
  case Type::f32:
    return run<float>(a, scratch, on);
  case Type::bf16:
    return run<__nv_bfloat16>(a, scratch, on);
  default:
    return run<__half>(a, scratch, on);
  }
}

const char *cuda_error_text(int error) { return cudaGetErrorString(cudaError_t(error)); }

} // namespace avatar
