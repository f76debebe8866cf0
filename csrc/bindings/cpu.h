// What the files of the CPU module share.
#pragma once

#include <pybind11/pybind11.h>

#include "ops.h"

// The build of the kernels that was chosen.
const avatar::CpuKernels &kernels();

void bind_numpy(pybind11::module_ &module);
void bind_tensors(pybind11::module_ &module);
