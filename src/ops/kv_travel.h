// The journey of one layer's keys and values to the ranks that attend them, and of their gradients back, beside other work:
// attention_input lets kv depart before it projects the queries, attend takes the units as they come; in the backward pass
// attend lets the gradients leave, and attention_input awaits them once it has taken the gradient of the queries.
#pragma once

#include <ATen/core/ivalue.h>

#include <memory>

#include "ops/units.h"

namespace smartbird {

// How keys and values are held: whether fetched rows stay for the backward pass or are fetched a second time; whether they
// are rounded to bfloat16 before any is fetched (the arithmetic and all gradients stay as they are, those of the rounding
// pass through).
enum class FetchedRows { Keep, FetchAgain };
struct KvStorage {
  FetchedRows rows = FetchedRows::Keep;
  bool bfloat16 = false;
};

// Of one forward and one backward pass. Group and plan outlive it.
class KvTravel : public torch::CustomClassHolder {
 public:
  KvTravel(Communicator& group, const Plan& plan, KvStorage storage) : plan_(plan), storage_(storage), group_(group) {}
  // Whether this rank has anything that could travel beside other work; the order of collectives is the same either way.
  [[nodiscard]] bool overlaps() const;
  [[nodiscard]] const Plan& plan() const { return plan_; }
  [[nodiscard]] KvStorage storage() const { return storage_; }

  // Collective. kv [T, G, 2D] is complete; a second call must name the same memory.
  void depart(const at::Tensor& kv);
  // Between pieces of other work.
  void make_progress();
  // Of the departed kv, once: the units, and kv as it was sent; both change hands.
  struct Departed {
    std::unique_ptr<ArrivingUnits> units;
    at::Tensor sent;
  };
  [[nodiscard]] Departed take();
  // Collective: the units of what was sent, a second time.
  [[nodiscard]] at::Tensor fetch_again(const at::Tensor& sent) const;

  // The gradient of kv [T, G, 2D] in memory that is complete once await_gradient() has been called, which was promised by
  // promise_to_await(); else it is complete at once. Collective.
  void promise_to_await() { promised_ = true; }
  [[nodiscard]] at::Tensor leave(std::unique_ptr<LeavingGradients> leaving);
  // grad_kv is what leave() returned: ErrorKind::Shape for other memory, since then somebody has read what was not complete.
  void await_gradient(const at::Tensor& grad_kv);
  [[nodiscard]] std::unique_ptr<LeavingGradients> leaving(const at::Tensor& grad_units) const {
    return std::make_unique<LeavingGradients>(group_, plan_, grad_units);
  }

 private:
  const Plan& plan_;
  const KvStorage storage_;
  Communicator& group_;
  const void* from_ = nullptr;  // memory of the kv that departed
  bool departed_ = false, promised_ = false;
  at::Tensor sent_;  // outside every graph: this is part of one
  std::unique_ptr<ArrivingUnits> arriving_;
  std::unique_ptr<LeavingGradients> leaving_;
};
using KvTravelPtr = c10::intrusive_ptr<KvTravel>;

}  // namespace smartbird
