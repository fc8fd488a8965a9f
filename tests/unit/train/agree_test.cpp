// What ranks compare: the first rank that differs is named, on all of them.
#include "train/agree.h"

#include "tests/support/comm_errors.h"
#include "tests/support/ranks.h"

namespace smartbird::testing {
namespace {

TEST(Agree, ParametersOfOneOtherBitAreNamed) {
  for_ranks(4, [](Communicator& group) {
    at::Tensor parameters = at::arange(10, at::kFloat);
    check_same_parameters(group, 7, parameters);
    if (group.rank() == 2) parameters[9] = std::nextafter(9.0F, 10.0F);
    EXPECT_EQ(error_of(ErrorKind::Comm, [&] { check_same_parameters(group, 7, parameters); }),
              "run.check_comm: after the update of step 7 the parameters of rank 2 are not those of rank 0");
  });
}

}  // namespace
}  // namespace smartbird::testing
