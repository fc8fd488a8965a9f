// NcclComm over the stand-in, for tests on several ranks, and the test that ends them.
#pragma once

#include <gtest/gtest.h>

#include "comm/nccl_comm.h"
#include "tests/support/fake_nccl/state.h"

namespace smartbird::testing {

inline std::shared_ptr<NcclLane> lane(NcclLimits limits = {}, NcclWatch::LastResort last_resort = {}) {
  return std::make_shared<NcclLane>(limits, std::move(last_resort), [] { return nullptr; });
}

inline std::unique_ptr<Communicator> over_nccl(Communicator& group, std::shared_ptr<NcclLane> on = lane()) {
  return std::make_unique<NcclComm>(group.split(0, group.rank()), std::move(on));
}

inline void nothing_was_misused(Communicator&) { EXPECT_EQ(fake_nccl::misuses(), 0); }

}  // namespace smartbird::testing
