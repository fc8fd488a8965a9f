// Departure, arrival and the way back.
#include "ops/kv_travel.h"

#include "core/error.h"

namespace smartbird {

bool KvTravel::overlaps() const {
  const auto moves = [](const Requests& requests) { return requests.num_sent() + requests.num_received() > 0; };
  return plan_.overlap && !plan_.by_heads() && (moves(plan_.halo) || moves(plan_.globals) || moves(plan_.rows));
}

void KvTravel::depart(const at::Tensor& kv) {
  SB_CHECK(!departed_ || kv.const_data_ptr() == from_, Shape,
           "attention: other keys and values have departed than those that are attended");
  if (departed_) return;
  departed_ = true, from_ = kv.const_data_ptr();
  sent_ = storage_.bfloat16 ? kv.detach().to(at::kBFloat16) : kv.detach();
  arriving_ = std::make_unique<ArrivingUnits>(group_, sent_, plan_, "");
}

KvTravel::Departed KvTravel::take() {
  SB_CHECK(arriving_ != nullptr, Shape, "attention: keys and values that departed once are attended twice");
  return {std::move(arriving_), std::move(sent_)};
}

void KvTravel::make_progress() {
  if (arriving_) arriving_->make_progress();
  if (leaving_) leaving_->make_progress();
}

at::Tensor KvTravel::fetch_again(const at::Tensor& sent) const {
  return ArrivingUnits(group_, sent, plan_, "_again").wait_for_all();
}

at::Tensor KvTravel::leave(std::unique_ptr<LeavingGradients> leaving) {
  if (!promised_ || !overlaps()) return leaving->finish();
  leaving_ = std::move(leaving);
  return leaving_->home();
}

void KvTravel::await_gradient(const at::Tensor& grad_kv) {
  if (!leaving_) return;
  const at::Tensor complete = leaving_->finish();
  leaving_ = nullptr;
  SB_CHECK(complete.const_data_ptr() == grad_kv.const_data_ptr() && complete.strides() == grad_kv.strides(), Shape,
           "attention: the gradient of keys and values was read while parts of it were on their way; they may have one "
           "reader only");
}

}  // namespace smartbird
