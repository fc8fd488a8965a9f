// Collectives on tensors with their adjoints, so that gradients take the way back. Rows are the unit; counts are rows a
// rank; zero rows are legal. `what` counts the bytes of the forward pass, "<what>_backward" those of the backward pass.
//   all_to_all_rows     adjoint: itself with the counts swapped
//   all_gather_rows     every rank's rows in rank order, then *different* work on each rank; adjoint: reduce_scatter_rows
//   reduce_scatter_rows the sum over ranks of [sum counts] rows, each rank its piece; adjoint: all_gather_rows
#pragma once

#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "comm/communicator.h"

namespace smartbird {

[[nodiscard]] at::Tensor all_to_all_rows(Communicator& group, const char* what, const at::Tensor& send,
                                         const std::vector<int64_t>& send_rows, const std::vector<int64_t>& recv_rows);
[[nodiscard]] at::Tensor all_gather_rows(Communicator& group, const char* what, const at::Tensor& mine,
                                         const std::vector<int64_t>& rows);
[[nodiscard]] at::Tensor reduce_scatter_rows(Communicator& group, const char* what, const at::Tensor& all,
                                             const std::vector<int64_t>& rows);
// Without gradient: starts the exchange of all_to_all_rows between contiguous tensors of one type, which must live until it
// was awaited.
[[nodiscard]] Pending start_exchange(Communicator& group, const std::string& what, const at::Tensor& send,
                                     const std::vector<int64_t>& send_rows, at::Tensor& receive,
                                     const std::vector<int64_t>& recv_rows);
// In place, without gradient.
void all_reduce_(Communicator& group, const char* what, at::Tensor& x, ReduceOp op);

}  // namespace smartbird
