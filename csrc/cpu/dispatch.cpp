// The kernels are compiled once for each instruction set; which one runs is settled at load.

#include "ops.h"

namespace avatar {

#define AVATAR_DECLARE(isa)                                                                        \
  namespace isa {                                                                                  \
  void adain(const Adain &, int threads);                                                          \
  void warp(const Warp &, int threads);                                                            \
  void spread(const Spread &, int threads);                                                        \
  void signed_distance(const SignedDistance &, int threads);                                       \
  void spread_over_grid(const SpreadOverGrid &, int threads);                                      \
  void compose(const Compose &, int threads);                                                      \
  void yuv420(const Yuv420 &, int threads);                                                        \
  void tower(const Tower &);                                                                       \
  void chain(const Chain &);                                                                       \
  void faded_shuffle(const FadedShuffle &);                                                        \
  void log_mel(const LogMel &);                                                                    \
  void mouth(const Mouth &);                                                                       \
  }

#define AVATAR_BUILD(name, isa)                                                                    \
  {                                                                                                \
      name,         isa::adain,           isa::warp,                                               \
      isa::spread,  isa::signed_distance, isa::spread_over_grid,                                   \
      isa::compose, isa::yuv420,          isa::tower,                                              \
      isa::chain,   isa::faded_shuffle,   isa::log_mel,                                            \
      isa::mouth}

AVATAR_DECLARE(portable)
#ifdef AVATAR_X86
AVATAR_DECLARE(x86_64_v3)
AVATAR_DECLARE(x86_64_v4)
AVATAR_DECLARE(x86_64_v4_bf16)
#endif

namespace {

struct Builds {
  CpuKernels all[4];
  int count = 0;

  Builds() {
#ifdef AVATAR_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) {
      if (__builtin_cpu_supports("avx512bf16"))
        all[count++] = AVATAR_BUILD("x86-64-v4-bf16", x86_64_v4_bf16);
      all[count++] = AVATAR_BUILD("x86-64-v4", x86_64_v4);
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2"))
      all[count++] = AVATAR_BUILD("x86-64-v3", x86_64_v3);
#endif
    all[count++] = AVATAR_BUILD("portable", portable);
  }
};

} // namespace

const CpuKernels *cpu_kernels(int *count) {
  static const Builds builds;
  *count = builds.count;
  return builds.all;
}

} // namespace avatar
