// Memory of a device that is not there: a range of this process's addresses that is shut unless a stand-in for the GPU runs, so
// that a host that reads or writes it ends with a signal, as it would on a machine with a GPU. The emulator knows every piece.
#pragma once

#include <c10/core/Allocator.h>

namespace smartbird::torch_device {

[[nodiscard]] c10::Allocator* allocator();
[[nodiscard]] bool holds(const void* at);
[[nodiscard]] c10::DeviceIndex& current_device();  // of this thread

}  // namespace smartbird::torch_device
