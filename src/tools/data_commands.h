// data tokenize | inspect | listops | recall: shards from text, a look into them, generated benchmark tasks.
#pragma once

#include <string>
#include <vector>

namespace smartbird {

int data_command(const std::vector<std::string>& arguments);

}  // namespace smartbird
