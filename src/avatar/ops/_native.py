"""The native modules: found once, loaded at the first use, and what to do where there are none."""

from __future__ import annotations

import functools
import importlib
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

_TYPES: dict[torch.dtype, int] = {
    torch.float32: 0,
    torch.bfloat16: 1,
    torch.float16: 2,
    torch.uint8: 3,
}
_BYTES = _TYPES[torch.uint8]
_CPU_CODES = {kind: code for kind, code in _TYPES.items() if kind != torch.float16}


@dataclass(frozen=True)
class NativeStatus:
    """Which kernels run on this machine.

    Attributes:
        built: whether the CPU kernels are installed and load.
        isa: instruction set they use: "x86-64-v4-bf16" (with AVX-512 BF16), "x86-64-v4",
            "x86-64-v3" or "portable"; empty if not built.
        cuda_built: whether the CUDA kernels are installed and load.
        threads: how many threads an operation uses (``torch.set_num_threads`` changes it).
        problem: why the CPU kernels do not run; empty if they do.
    """

    built: bool
    isa: str
    cuda_built: bool
    threads: int
    problem: str


def native_status() -> NativeStatus:
    """What is built and what would run. Loads the modules, runs no kernel."""
    module, problem = _load("avatar._native")
    cuda, _ = _load("avatar._native_cuda")
    return NativeStatus(
        built=module is not None,
        isa=module.isa() if module is not None else "",
        cuda_built=cuda is not None,
        threads=torch.get_num_threads(),
        problem=problem,
    )


@functools.cache
def _load(name: str) -> tuple[ModuleType | None, str]:
    try:
        return importlib.import_module(name), ""
    except ImportError as error:
        return None, str(error)


@functools.cache
def cpu_kernels() -> Any | None:  # a pybind11 module has no types
    """The CPU module, or None after one warning."""
    module, problem = _load("avatar._native")
    if module is None:
        warnings.warn(
            f"the native kernels are not available ({problem}); avatar runs several times slower "
            "on plain torch. Reinstall with a C++ compiler present: "
            "pip install --force-reinstall --no-deps talking-avatar",
            RuntimeWarning,
            stacklevel=2,
        )
    return module


def at_once() -> Any | None:
    """The CPU module if an operation may be called past torch's dispatcher, or None.

    Its ``adain_at_once`` and ``warp_at_once`` take tensors and return one, or None where the
    operation is to go the long way: through ``torch.ops``, which takes a few microseconds and lets
    everything of torch see it.
    """
    return None if torch.compiler.is_compiling() else _acquainted()


@functools.cache
def _acquainted() -> Any | None:
    """The CPU module once it has been told of torch, and what in it watches operations."""
    module, _ = _load("avatar._native")  # the long way warns, if it is missed
    try:
        observers = [
            torch._C._len_torch_dispatch_stack,
            torch._C._is_torch_function_mode_enabled,
            torch._C._functorch.peek_interpreter_stack,
            torch._C._get_tracing_state,
            torch._C._autograd._profiler_enabled,
        ]
    except AttributeError:  # these are torch's own affair: another version may lack them
        return None
    if module is not None:
        module.meet(torch, observers)
    return module


def kernels_for(tensor: Tensor, *, bytes_too: bool = False) -> Any | None:
    """The module whose kernels take ``tensor``, or None: then the reference runs.

    Args:
        bytes_too: whether the operation also takes uint8.
    """
    if not tensor.is_cpu:
        return cuda_kernels_for(tensor, bytes_too=bytes_too)
    found = cpu_call(tensor, bytes_too=bytes_too)
    return None if found is None else found[0]


def cpu_call(tensor: Tensor, *, bytes_too: bool = False) -> tuple[Any, int] | None:
    """The CPU module and its code for the type of ``tensor``, if its kernels take it."""
    code = _CPU_CODES.get(tensor.dtype) if tensor.is_cpu else None
    if code is None or (code == _BYTES and not bytes_too) or not _addressable(tensor):
        return None
    kernels = cpu_kernels()
    return None if kernels is None else (kernels, code)


def cuda_kernels_for(tensor: Tensor, *, bytes_too: bool = False) -> Any | None:
    """The CUDA module if its kernels take ``tensor``."""
    dtype = tensor.dtype
    known = dtype in _TYPES and (bytes_too or dtype != torch.uint8)
    if not tensor.is_cuda or not known or not _addressable(tensor):
        return None
    return cuda_kernels()


def cuda_kernels() -> Any | None:
    """The CUDA module, or None where it is not built."""
    return _load("avatar._native_cuda")[0]


def _addressable(tensor: Tensor) -> bool:
    """Whether one image of the batch, and the batch itself, fit the kernels' index types."""
    numbers = tensor.numel()
    return numbers < 2**31 or (numbers < 2**31 * len(tensor) and len(tensor) < 2**16)


def stream(tensor: Tensor) -> int:
    """The current CUDA stream on the device of ``tensor``."""
    handle: int = torch.cuda.current_stream(tensor.device).cuda_stream
    return handle


def on_device_of(tensor: Tensor) -> AbstractContextManager[object]:
    """Makes the GPU of ``tensor`` the current one."""
    return torch.cuda.device(tensor.device)


def type_code(tensor: Tensor) -> int:
    """The number csrc/ops.h gives the type of ``tensor``."""
    return _TYPES[tensor.dtype]


def memory_format(tensor: Tensor) -> torch.memory_format:
    """The layout in which the result of an operation on ``tensor`` comes."""
    channels_last = tensor.stride()[1] == 1 and tensor.shape[1] > 1
    return torch.channels_last if channels_last else torch.contiguous_format


def in_layout(tensor: Tensor, layout: torch.memory_format) -> Tensor:
    """``tensor``, copied only if its kernel needs that.

    On the CPU the unit stride must be where ``layout`` has it; on a GPU arrays must be dense.
    """
    axis = 1 if layout is torch.channels_last else 3
    if tensor.stride()[axis] == 1 and not tensor.is_cuda:
        return tensor
    return tensor.contiguous(memory_format=layout)


def settled(tensor: Tensor, layout: torch.memory_format) -> Tensor:
    """``tensor`` with exactly the strides of a fresh one in ``layout``."""
    fresh = torch.empty_like(tensor, memory_format=layout)
    return tensor if tensor.stride() == fresh.stride() else fresh.copy_(tensor)


def operator(
    name: str, schema: str, run: Callable[..., Any], fake: Callable[..., Any]
) -> Callable[..., Any]:
    """Register ``avatar::name`` for all devices; the result calls it."""
    full_name = f"avatar::{name}"
    torch.library.define(full_name, schema, tags=(torch.Tag.needs_fixed_stride_order,))
    torch.library.impl(full_name, "CompositeExplicitAutograd", run)
    torch.library.register_fake(full_name, fake)
    packet = getattr(torch.ops.avatar, name)
    registered: Callable[..., Any] = packet.default
    return registered
