// A checkpoint's model beside the data that evaluate it: data.test, else data.valid.
#pragma once

#include "train/setup.h"

namespace smartbird {

struct OpenedCheckpoint {
  std::unique_ptr<Corpus> corpus;
  std::unique_ptr<Transformer> model;
};

// `options`: the checkpoint's configuration with the user's changes. ErrorKind::Config, Data. Collective.
[[nodiscard]] OpenedCheckpoint open_checkpoint(const World& world, const std::string& folder, const Options& options,
                                               at::Device device);

}  // namespace smartbird
