// `smartbird bench exchange`: rows that ranks want of each other, and the loss, on a trained model.
#pragma once

#include "tools/commands.h"

namespace smartbird {

int bench_exchange(const Arguments& arguments);

}  // namespace smartbird
