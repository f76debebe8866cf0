// The everyday calls of `adain` and `warp`, at once: without torch's dispatcher, and with tensors
// asked for what they are from here, which takes a part of the time that it takes in Python. No
// header of torch is needed for that. These return None for whatever is not everyday (another
// device, layout or type, something wrong, something of torch that wants to see the operation):
// then Python goes the long way, which has the checks, the conversions and the messages.

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cstdint>
#include <vector>

#include "cpu.h"

namespace py = pybind11;

namespace {

constexpr int64_t kManyPlanes = 16; // as in src/avatar/ops/_warp.py

// What there is to know of torch, held for good.
struct Torch {
  PyTypeObject *tensor = nullptr;
  PyObject *types[4] = {};           // by the numbers of avatar::Type; float16 has no kernels here
  std::vector<PyObject *> observers; // functions; one that answers truly sees operations
  PyObject *is_cpu = nullptr, *shape = nullptr, *stride = nullptr, *dtype = nullptr,
           *data_ptr = nullptr, *new_empty_strided = nullptr;
} torch;

void meet(const py::object &module, const std::vector<py::object> &observers) {
  const auto held = [](py::object object) { return object.release().ptr(); };
  const auto word = [](const char *text) { return PyUnicode_InternFromString(text); };
  torch.types[int(avatar::Type::f32)] = held(module.attr("float32"));
  torch.types[int(avatar::Type::bf16)] = held(module.attr("bfloat16"));
  torch.types[int(avatar::Type::u8)] = held(module.attr("uint8"));
  for (const py::object &observer : observers)
    torch.observers.push_back(held(observer));
  torch.is_cpu = word("is_cpu"), torch.shape = word("shape"), torch.stride = word("stride");
  torch.dtype = word("dtype"), torch.data_ptr = word("data_ptr");
  torch.new_empty_strided = word("new_empty_strided");
  torch.tensor = reinterpret_cast<PyTypeObject *>(held(module.attr("Tensor")));
}

bool observed() {
  for (PyObject *observer : torch.observers) {
    const py::object answer = py::reinterpret_steal<py::object>(PyObject_CallNoArgs(observer));
    if (!answer || PyObject_IsTrue(answer.ptr()))
      return true;
  }
  return false;
}

using Numbers = std::array<int64_t, 4>;

py::object asked(PyObject *of, PyObject *name) {
  return py::reinterpret_steal<py::object>(PyObject_GetAttr(of, name));
}

py::object called(PyObject *of, PyObject *name) {
  return py::reinterpret_steal<py::object>(PyObject_CallMethodNoArgs(of, name));
}

// A tensor on the CPU.
struct Tensor {
  void *data = nullptr;
  int dimensions = 0, type = -1; // -1: none that kernels know
  Numbers shape{}, strides{};

  explicit Tensor(PyObject *from) {
    if (!from || Py_TYPE(from) != torch.tensor || asked(from, torch.is_cpu).ptr() != Py_True)
      return;
    const py::object sizes = asked(from, torch.shape), steps = called(from, torch.stride),
                     dtype = asked(from, torch.dtype), address = called(from, torch.data_ptr);
    if (!sizes || !steps || !dtype || !address) {
      PyErr_Clear(); // a sparse tensor has no strides
      return;
    }
    dimensions = int(PyTuple_GET_SIZE(sizes.ptr()));
    if (dimensions > 4 || PyTuple_GET_SIZE(steps.ptr()) != dimensions)
      return;
    for (int i = 0; i < dimensions; ++i) {
      shape[i] = PyLong_AsLongLong(PyTuple_GET_ITEM(sizes.ptr(), i));
      strides[i] = PyLong_AsLongLong(PyTuple_GET_ITEM(steps.ptr(), i));
    }
    for (int i = 0; i < 4; ++i)
      if (torch.types[i] == dtype.ptr())
        type = i;
    data = PyLong_AsVoidPtr(address.ptr());
  }

  bool is(int wanted, const Numbers &wanted_shape) const {
    return data && type == wanted && shape == wanted_shape;
  }

  int64_t numbers() const { return shape[0] * shape[1] * shape[2] * shape[3]; }

  // Whether numbers lie as `wanted` says, side by side along `unit`. How far apart they are along
  // another axis is of no account where there is but one.
  bool lies(const Numbers &wanted, int unit) const {
    for (int i = 0; i < dimensions; ++i)
      if (strides[i] != wanted[i] && (shape[i] != 1 || i == unit))
        return false;
    return true;
  }

  avatar::View view() const { return {data, strides[0], strides[1], strides[2], strides[3]}; }
};

avatar::Shape shape_of(const Numbers &shape) { return {shape[0], shape[1], shape[2], shape[3]}; }

Numbers planes(const Numbers &shape) {
  const int64_t plane = shape[2] * shape[3];
  return {shape[1] * plane, plane, shape[3], 1};
}

Numbers pixels(const Numbers &shape) {
  const int64_t row = shape[3] * shape[1];
  return {shape[2] * row, 1, row, shape[1]};
}

// An image that kernels take as it is, in one of the two layouts in which results come.
struct Image : Tensor {
  bool channels_last = false, fits = false;

  explicit Image(PyObject *from) : Tensor(from) {
    if (!data || dimensions != 4 || type < 0 || numbers() == 0 || numbers() >= int64_t(1) << 31)
      return;
    channels_last = strides[1] == 1 && shape[1] > 1;
    const Numbers wanted = channels_last ? pixels(shape) : planes(shape);
    fits = lies(wanted, channels_last ? 1 : 3);
    strides = wanted;
  }
};

// A tensor to write to.
py::object fresh(PyObject *like, const Numbers &shape, const Numbers &strides) {
  const py::tuple sizes = py::make_tuple(shape[0], shape[1], shape[2], shape[3]);
  const py::tuple steps = py::make_tuple(strides[0], strides[1], strides[2], strides[3]);
  PyObject *arguments[] = {like, sizes.ptr(), steps.ptr()};
  return py::reinterpret_steal<py::object>(
      PyObject_VectorcallMethod(torch.new_empty_strided, arguments, 3, nullptr));
}

// Whatever went wrong, the long way says it better.
PyObject *none() {
  PyErr_Clear();
  Py_RETURN_NONE;
}

// x, scale, shift, residual, negative slope, eps, threads
PyObject *adain_at_once(PyObject *, PyObject *const *given, Py_ssize_t count) {
  if (count != 7 || observed())
    return none();
  const Image x(given[0]);
  const Tensor scale(given[1]), shift(given[2]);
  const Numbers style = {x.shape[0], x.shape[1]};
  const int f32 = int(avatar::Type::f32), u8 = int(avatar::Type::u8);
  if (!x.fits || x.type == u8 || !scale.is(f32, style) || !shift.is(f32, style) ||
      !scale.lies({x.shape[1], 1}, 1) || !shift.lies({x.shape[1], 1}, 1))
    return none();
  avatar::View residual{};
  if (given[3] != Py_None) {
    const Image added(given[3]);
    if (!added.is(x.type, x.shape) || !added.fits || added.channels_last != x.channels_last)
      return none();
    residual = added.view();
  }
  const float slope = float(PyFloat_AsDouble(given[4])), eps = float(PyFloat_AsDouble(given[5]));
  const int threads = int(PyLong_AsLong(given[6]));
  if (!(slope >= 0 && eps >= 0) || threads < 1)
    return none();
  py::object made = fresh(given[0], x.shape, x.strides);
  const Tensor y(made.ptr());
  if (!y.is(x.type, x.shape) || y.strides != x.strides)
    return none();
  const avatar::Adain args{avatar::Type(x.type),
                           x.channels_last,
                           shape_of(x.shape),
                           x.view(),
                           residual,
                           y.view(),
                           static_cast<const float *>(scale.data),
                           static_cast<const float *>(shift.data),
                           slope,
                           eps};
  {
    const py::gil_scoped_release released;
    kernels().adain(args, threads);
  }
  return made.release().ptr();
}

// Height and width: two positive numbers, or None for those of the grid.
std::array<int64_t, 2> size_of(PyObject *given, const Tensor &grid) {
  if (given == Py_None)
    return {grid.shape[2], grid.shape[3]};
  if (!PyTuple_Check(given) || PyTuple_GET_SIZE(given) != 2)
    return {};
  const int64_t height = PyLong_AsLongLong(PyTuple_GET_ITEM(given, 0));
  const int64_t width = PyLong_AsLongLong(PyTuple_GET_ITEM(given, 1));
  const int64_t most = int64_t(1) << 31;
  return height < 1 || width < 1 || height >= most || width >= most
             ? std::array<int64_t, 2>{}
             : std::array<int64_t, 2>{height, width};
}

// image, grid, size or None, whether the border is repeated, threads
PyObject *warp_at_once(PyObject *, PyObject *const *given, Py_ssize_t count) {
  if (count != 5 || observed())
    return none();
  const Image image(given[0]);
  const Tensor grid(given[1]);
  if (!image.fits || (!image.channels_last && image.shape[1] >= kManyPlanes) ||
      grid.dimensions != 4 || grid.type != int(avatar::Type::f32) ||
      !grid.lies(planes(grid.shape), 3) || grid.numbers() == 0 || grid.shape[0] != image.shape[0] ||
      grid.shape[1] != 2)
    return none();
  const auto [height, width] = size_of(given[2], grid);
  const Numbers shape = {image.shape[0], image.shape[1], height, width};
  const int threads = int(PyLong_AsLong(given[4]));
  if (height == 0 || threads < 1)
    return none();
  const Numbers strides = image.channels_last ? pixels(shape) : planes(shape);
  py::object made = fresh(given[0], shape, strides);
  const Tensor y(made.ptr());
  if (!y.is(image.type, shape) || y.strides != strides)
    return none();
  const avatar::Warp args{avatar::Type(image.type),
                          image.channels_last,
                          shape_of(image.shape),
                          height,
                          width,
                          image.view(),
                          y.view(),
                          static_cast<const float *>(grid.data),
                          grid.shape[2],
                          grid.shape[3],
                          given[3] == Py_True};
  {
    const py::gil_scoped_release released;
    kernels().warp(args, threads);
  }
  return made.release().ptr();
}

// Not through pybind11, which takes as long to tell the arguments apart as all else here.
template <class Function> PyCFunction as_method(Function function) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

PyMethodDef methods[] = {
    {"adain_at_once", as_method(&adain_at_once), METH_FASTCALL, nullptr},
    {"warp_at_once", as_method(&warp_at_once), METH_FASTCALL, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

} // namespace

void bind_tensors(py::module_ &module) {
  module.def("meet", &meet);
  if (PyModule_AddFunctions(module.ptr(), methods))
    throw py::error_already_set();
}
