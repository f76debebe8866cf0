#include "adain.cuh"

namespace avatar {
namespace {

template <class T> int run(const AdainBackward &a, float *scratch, cudaStream_t stream) {
  Job<T> job = {};
  job.x = static_cast<const T *>(a.x);
  job.grad = static_cast<const T *>(a.grad);
  job.y_in = static_cast<const T *>(a.y);
  job.grad_x = static_cast<T *>(a.grad_x);
  job.grad_residual = a.y ? static_cast<T *>(a.grad_residual) : nullptr;
  job.scale = a.scale;
  job.grad_scale = a.grad_scale;
  job.grad_shift = a.grad_shift;
  job.scratch = scratch;
  job.negative_slope = a.negative_slope;
  job.eps = a.eps;
  return dispatch<true>(job, a.channels_last, a.shape, stream);
}

} // namespace

int cuda_adain_backward(const AdainBackward &a, float *scratch, uintptr_t stream) {
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

} // namespace avatar
