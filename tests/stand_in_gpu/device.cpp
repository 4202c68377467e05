// A device of its own for torch, with main memory as its memory: see device.py.
//
// An operator that has no entry below runs on the CPU, on copies (torch's cpu_fallback); inputs on two devices are an
// error, as on a GPU. Matrix products and convolutions are computed in float32, as the CPU is slow in 16 bit.

#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/resize_native.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/extension.h>

#include <cstdlib>

namespace {

using at::Tensor;
using c10::SymInt;
using Sizes = at::SymIntArrayRef;

const at::Device DEVICE(at::DeviceType::PrivateUse1, 0);
int64_t allocated = 0;

struct Block {
  void* memory;
  size_t size;
};

void release(void* block) {
  auto* it = static_cast<Block*>(block);
  allocated -= it->size;
  free(it->memory);
  delete it;
}

struct Allocator final : at::Allocator {
  at::DataPtr allocate(size_t size) override {
    void* memory = nullptr;
    TORCH_CHECK(!size || !posix_memalign(&memory, 64, size), "out of memory");
    allocated += size;
    return {memory, new Block{memory, size}, &release, DEVICE};
  }
  at::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, std::size_t size) const override { memcpy(to, from, size); }
};
Allocator allocator;
REGISTER_ALLOCATOR(at::DeviceType::PrivateUse1, &allocator);

struct Guard final : c10::impl::DeviceGuardImplInterface {
  at::DeviceType type() const override { return DEVICE.type(); }
  at::Device exchangeDevice(at::Device) const override { return DEVICE; }
  at::Device getDevice() const override { return DEVICE; }
  void setDevice(at::Device) const override {}
  void uncheckedSetDevice(at::Device) const noexcept override {}
  at::Stream getStream(at::Device) const noexcept override { return at::Stream(at::Stream::DEFAULT, DEVICE); }
  at::Stream getDefaultStream(at::Device device) const override { return getStream(device); }
  at::Stream exchangeStream(at::Stream) const noexcept override { return getStream(DEVICE); }
  at::DeviceIndex deviceCount() const noexcept override { return 1; }
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

struct Hooks final : at::PrivateUse1HooksInterface {
  bool hasPrimaryContext(at::DeviceIndex) const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool isPinnedPtr(const void*) const override { return false; }
  at::Allocator* getPinnedMemoryAllocator() const override { return c10::GetAllocator(at::DeviceType::CPU); }
  void resizePrivateUse1Bytes(const c10::Storage& storage, size_t size) const override {
    at::native::resize_bytes_cpu(storage.unsafeGetStorageImpl(), size);
  }
};
Hooks hooks;

// The same memory, as a tensor of the CPU.
Tensor on_cpu(const Tensor& t) {
  if (t.is_cpu()) return t;
  return at::from_blob(const_cast<void*>(t.const_data_ptr()), t.sizes(), t.strides(), at::dtype(t.dtype()));
}

Tensor in_float32(const Tensor& t) { return on_cpu(t).to(at::kFloat); }

void check_alike(const Tensor& a, const Tensor& b) {
  TORCH_CHECK(a.device() == b.device(), "two devices: ", a.device(), " and ", b.device());
  TORCH_CHECK(a.dtype() == b.dtype(), "two types: ", a.dtype(), " and ", b.dtype());
}

Tensor empty(at::IntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
             std::optional<at::Device>, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  c10::DispatchKeySet keys(c10::DispatchKey::PrivateUse1);
  return at::detail::empty_generic(size, &allocator, keys, at::dtype_or_default(dtype), format);
}

Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef strides, std::optional<at::ScalarType> dtype,
                     std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>) {
  c10::DispatchKeySet keys(c10::DispatchKey::PrivateUse1);
  return at::detail::empty_strided_generic(size, strides, &allocator, keys, at::dtype_or_default(dtype));
}

Tensor copy_from(const Tensor& from, const Tensor& to, bool) {
  at::NoGradGuard guard;
  on_cpu(to).copy_(on_cpu(from));
  return to;
}

Tensor copy_from_and_resize(const Tensor& from, const Tensor& to) {
  if (to.sizes() != from.sizes()) to.resize_(from.sizes());
  return copy_from(from, to, false);
}

at::Scalar item(const Tensor& t) { return on_cpu(t).item(); }

const Tensor& resize(const Tensor& t, at::IntArrayRef size, std::optional<at::MemoryFormat> format) {
  return at::native::resize_(t, size, format);
}

Tensor& set_storage(Tensor& t, at::Storage storage, int64_t offset, at::IntArrayRef size, at::IntArrayRef strides) {
  return at::native::set_storage_cpu_(t, storage, offset, size, strides);
}

int64_t attention_by_formula(const Tensor&, const Tensor&, const Tensor&, const std::optional<Tensor>&, double, bool,
                             std::optional<double>, bool) {
  return 0;
}

Tensor mm(const Tensor& a, const Tensor& b) {
  check_alike(a, b);
  return at::mm(in_float32(a), in_float32(b)).to(a.options());
}

Tensor bmm(const Tensor& a, const Tensor& b) {
  check_alike(a, b);
  return at::bmm(in_float32(a), in_float32(b)).to(a.options());
}

Tensor addmm(const Tensor& c, const Tensor& a, const Tensor& b, const at::Scalar& beta, const at::Scalar& alpha) {
  check_alike(a, b);
  check_alike(c, a);
  return at::addmm(in_float32(c), in_float32(a), in_float32(b), beta, alpha).to(a.options());
}

Tensor convolution(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias, Sizes stride,
                   Sizes padding, Sizes dilation, bool transposed, Sizes output_padding, SymInt groups) {
  check_alike(x, weight);
  std::optional<Tensor> b;
  if (bias && bias->defined()) {
    check_alike(x, *bias);
    b = in_float32(*bias);
  }
  auto out = at::convolution_symint(in_float32(x), in_float32(weight), b, stride, padding, dilation, transposed,
                                    output_padding, groups);
  return out.to(x.options());
}

std::tuple<Tensor, Tensor, Tensor> convolution_backward(const Tensor& gradient, const Tensor& x, const Tensor& weight,
                                                        Sizes stride, Sizes padding, Sizes dilation, bool transposed,
                                                        Sizes output_padding, SymInt groups, std::array<bool, 3> mask) {
  check_alike(x, weight);
  check_alike(gradient, x);
  std::vector<SymInt> bias_size{weight.sym_size(0)};
  auto [dx, dw, db] = at::convolution_backward_symint(
      in_float32(gradient), in_float32(x), in_float32(weight), at::OptionalSymIntArrayRef(bias_size), stride, padding,
      dilation, transposed, output_padding, groups, mask);
  auto back = [&](const Tensor& t) { return t.defined() ? t.to(x.options()) : t; };
  return {back(dx), back(dw), back(db)};
}

void fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack) { at::native::cpu_fallback(op, stack, true); }

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>()); }
TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, m) { m.fallback(torch::CppFunction::makeFallthrough()); }
TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", empty);
  m.impl("empty_strided", empty_strided);
  m.impl("_copy_from", copy_from);
  m.impl("_copy_from_and_resize", copy_from_and_resize);
  m.impl("_local_scalar_dense", item);
  m.impl("resize_", resize);
  m.impl("set_.source_Storage_storage_offset", set_storage);
  m.impl("as_strided", at::native::as_strided_tensorimpl);
  m.impl("view", at::native::view);
  m.impl("_reshape_alias", at::native::_reshape_alias);
  m.impl("unfold", at::native::unfold);
  m.impl("alias", at::native::alias);
  m.impl("mm", mm);
  m.impl("bmm", bmm);
  m.impl("addmm", addmm);
  m.impl("convolution_overrideable", convolution);
  m.impl("convolution_backward_overrideable", convolution_backward);
  m.impl("_fused_sdp_choice", attention_by_formula);
}

}  // namespace

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  at::RegisterPrivateUse1HooksInterface(&hooks);
  m.def("allocated", [] { return allocated; });
}
