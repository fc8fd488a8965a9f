// Name -> mode.
#include "model/draw_mode.h"

namespace smartbird {

kernels::DrawMode draw_mode(const std::string& name) {
  using kernels::DrawMode;
  if (name == "systematic") return DrawMode::Systematic;
  if (name == "gumbel") return DrawMode::Gumbel;
  if (name == "iid") return DrawMode::Iid;
  if (name == "topk") return DrawMode::TopK;
  if (name == "oracle") return DrawMode::Oracle;
  if (name == "bigbird") return DrawMode::BigBird;
  if (name == "uniform") return DrawMode::Uniform;
  return name == "none" ? DrawMode::None : DrawMode::Poisson;
}

}  // namespace smartbird
