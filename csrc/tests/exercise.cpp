// Runs every CPU kernel over odd sizes, on arrays that end where their data end, so that a
// sanitizer sees whatever leaves them. Every build must agree with the last, the portable one, and
// have the same bits with any number of threads. Ends with 1 at the first difference.

#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "exercise.h"

namespace {

const int kThreads[] = {1, 2, 3};

void fail(const std::string &name, const char *what, const char *isa) {
  std::printf("%s: the %s build %s\n", name.c_str(), isa, what);
  std::exit(1);
}

bool same_bits(const std::vector<float> &a, const std::vector<float> &b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), 4 * a.size()) == 0);
}

bool near(const std::vector<float> &a, const std::vector<float> &b, float limit) {
  for (size_t i = 0; i < a.size(); ++i)
    if (std::isnan(a[i]) != std::isnan(b[i]) || std::fabs(a[i] - b[i]) > limit)
      return false;
  return a.size() == b.size();
}

int cases = 0;

} // namespace

void compare(const std::string &name, float limit, const Run &run) {
  int count = 0;
  const CpuKernels *builds = avatar::cpu_kernels(&count);
  const std::vector<float> right = run(builds[count - 1], 1);
  for (int k = 0; k < count; ++k) {
    const std::vector<float> alone = run(builds[k], kThreads[0]);
    if (!near(alone, right, limit))
      fail(name, "differs from the portable one", builds[k].isa);
    for (int threads : kThreads)
      if (!same_bits(alone, run(builds[k], threads)))
        fail(name, "depends on the number of threads", builds[k].isa);
  }
  ++cases;
}

int main() {
  exercise_images();
  exercise_networks();
  int count = 0;
  avatar::cpu_kernels(&count);
  std::printf("%d cases agree in %d builds\n", cases, count);
}
