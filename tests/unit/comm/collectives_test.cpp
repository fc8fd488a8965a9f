// Every collective on groups of threads of several sizes, and on SelfComm.
#include "comm/self_comm.h"
#include "tests/support/comm_bodies.h"
#include "tests/support/ranks.h"

namespace smartbird::testing {
namespace {

class Collectives : public ::testing::TestWithParam<std::tuple<CommBody, int>> {};

TEST_P(Collectives, OnThreads) {
  const auto& [body, ranks] = GetParam();
  for_ranks(ranks, body.run);
}

INSTANTIATE_TEST_SUITE_P(All, Collectives,
                         ::testing::Combine(::testing::ValuesIn(kCommBodies), ::testing::ValuesIn(kWorldSizes)),
                         [](const auto& info) {
                           return std::get<0>(info.param).name + std::string("_") +
                                  std::to_string(std::get<1>(info.param));
                         });

class Loopback : public ::testing::TestWithParam<CommBody> {};

TEST_P(Loopback, OnSelfComm) {
  SelfComm group;
  GetParam().run(group);
}

INSTANTIATE_TEST_SUITE_P(All, Loopback, ::testing::ValuesIn(kCommBodies),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace smartbird::testing
