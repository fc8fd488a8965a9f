// The host's own code must not touch the memory of a device. Stand-ins for a GPU say here when theirs runs, so that a stand-in
// for its memory can be shut the rest of the time.
#pragma once

namespace smartbird::testing {

inline void (*device_reach)(bool begins) = [](bool) {};

struct DeviceReach {
  DeviceReach() { device_reach(true); }
  ~DeviceReach() { device_reach(false); }
  DeviceReach(const DeviceReach&) = delete;
  DeviceReach& operator=(const DeviceReach&) = delete;
};

}  // namespace smartbird::testing
