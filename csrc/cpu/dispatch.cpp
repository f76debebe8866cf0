// The kernels are compiled once for each instruction set; which one runs is settled at load.

#include "ops.h"

namespace avatar {

#define AVATAR_DECLARE(isa)                                                                        \
  namespace isa {                                                                                  \
  void adain(const Adain &, int threads);                                                          \
  void warp(const Warp &, int threads);                                                            \
  void spread(const Spread &, int threads);                                                        \
  void signed_distance(const SignedDistance &, int threads);                                       \
  }

AVATAR_DECLARE(portable)
#ifdef AVATAR_X86
AVATAR_DECLARE(x86_64_v3)
AVATAR_DECLARE(x86_64_v4)
#endif

namespace {

struct Builds {
  CpuKernels all[3];
  int count = 0;

  Builds() {
#ifdef AVATAR_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
      all[count++] = {"x86-64-v4", x86_64_v4::adain, x86_64_v4::warp, x86_64_v4::spread,
                      x86_64_v4::signed_distance};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2"))
      all[count++] = {"x86-64-v3", x86_64_v3::adain, x86_64_v3::warp, x86_64_v3::spread,
                      x86_64_v3::signed_distance};
#endif
    all[count++] = {"portable", portable::adain, portable::warp, portable::spread,
                    portable::signed_distance};
  }
};

} // namespace

const CpuKernels *cpu_kernels(int *count) {
  static const Builds builds;
  *count = builds.count;
  return builds.all;
}

} // namespace avatar
