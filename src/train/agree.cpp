// Broadcasting a choice and comparing hashes.
#include "train/agree.h"

#include <xxhash.h>

#include "core/error.h"

namespace smartbird {

std::string chosen_by_root(Communicator& everyone, const std::function<std::string()>& choose) {
  std::string text = everyone.rank() == 0 ? choose() : "";
  int64_t size = static_cast<int64_t>(text.size());
  everyone.broadcast("choice", &size, 1, DType::i64, 0);
  text.resize(static_cast<size_t>(size));
  everyone.broadcast("choice", text.data(), size, DType::u8, 0);
  return text;
}

void check_agreement(Communicator& everyone, const std::string& what, const std::string& text) {
  const auto hashes = everyone.gather_value("agreement", static_cast<int64_t>(XXH3_64bits(text.data(), text.size())));
  for (size_t rank = 1; rank < hashes.size(); ++rank)
    SB_CHECK(hashes[rank] == hashes[0], Config, "rank ", rank, " has another ", what,
             " than rank 0; start all ranks with the same options, on the same files");
}

void check_same_parameters(Communicator& everyone, int64_t step, const at::Tensor& flat) {
  const at::Tensor parameters = flat.cpu();
  const auto hashes = everyone.gather_value(
      "check_parameters", static_cast<int64_t>(XXH3_64bits(parameters.const_data_ptr(), parameters.nbytes())));
  for (size_t rank = 1; rank < hashes.size(); ++rank)
    SB_CHECK(hashes[rank] == hashes[0], Comm, "run.check_comm: after the update of step ", step,
             " the parameters of rank ", rank, " are not those of rank 0");
}

}  // namespace smartbird
