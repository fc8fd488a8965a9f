// Autograd functions around the communicator.
#include "ops/collectives.h"

#include <torch/csrc/autograd/custom_function.h>

#include "ops/tensors.h"

namespace smartbird {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::Variable;
using torch::autograd::variable_list;

std::vector<int64_t> elements(const std::vector<int64_t>& rows, int64_t per_row) {
  std::vector<int64_t> out(rows);
  for (int64_t& n : out) n *= per_row;
  return out;
}

at::Tensor empty_rows(const at::Tensor& like, const std::vector<int64_t>& rows) {
  std::vector<int64_t> shape = like.sizes().vec();
  shape[0] = 0;
  for (int64_t n : rows) shape[0] += n;
  return at::empty(shape, like.options());
}

at::Tensor exchange(Communicator& group, const std::string& what, const at::Tensor& input,
                    const std::vector<int64_t>& send_rows, const std::vector<int64_t>& recv_rows) {
  const at::Tensor send = input.contiguous();
  at::Tensor recv = empty_rows(send, recv_rows);
  start_exchange(group, what, send, send_rows, recv, recv_rows).wait();
  return recv;
}

at::Tensor gather(Communicator& group, const std::string& what, const at::Tensor& input,
                  const std::vector<int64_t>& rows) {
  const at::Tensor send = input.contiguous();
  at::Tensor recv = empty_rows(send, rows);
  group.all_gather(what.c_str(), send.const_data_ptr(), recv.mutable_data_ptr(), elements(rows, row_elements(send)),
                   dtype_of(send));
  return recv;
}

at::Tensor scatter_sum(Communicator& group, const std::string& what, const at::Tensor& input,
                       const std::vector<int64_t>& rows) {
  const at::Tensor send = input.contiguous();
  at::Tensor recv = empty_rows(send, {rows[static_cast<size_t>(group.rank())]});
  group.reduce_scatter(what.c_str(), send.const_data_ptr(), recv.mutable_data_ptr(), elements(rows, row_elements(send)),
                       dtype_of(send));
  return recv;
}

// The group outlives every graph that was built over it: World dies after the model.
Communicator& group_of(AutogradContext* ctx) {
  return *reinterpret_cast<Communicator*>(ctx->saved_data["group"].toInt());
}

void remember(AutogradContext* ctx, Communicator& group, const std::string& what) {
  ctx->saved_data["group"] = reinterpret_cast<int64_t>(&group);
  ctx->saved_data["what"] = what + "_backward";
}

struct AllToAllV : Function<AllToAllV> {
  static Variable forward(AutogradContext* ctx, const Variable& send, Communicator* group, std::string what,
                          std::vector<int64_t> send_rows, std::vector<int64_t> recv_rows) {
    remember(ctx, *group, what);
    ctx->saved_data["send_rows"] = send_rows;
    ctx->saved_data["recv_rows"] = recv_rows;
    return exchange(*group, what, send, send_rows, recv_rows);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    return {exchange(group_of(ctx), ctx->saved_data["what"].toStringRef(), grads[0],
                     ctx->saved_data["recv_rows"].toIntVector(), ctx->saved_data["send_rows"].toIntVector()),
            {},
            {},
            {},
            {}};
  }
};

struct AllGather : Function<AllGather> {
  static Variable forward(AutogradContext* ctx, const Variable& mine, Communicator* group, std::string what,
                          std::vector<int64_t> rows) {
    remember(ctx, *group, what);
    ctx->saved_data["rows"] = rows;
    return gather(*group, what, mine, rows);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    return {scatter_sum(group_of(ctx), ctx->saved_data["what"].toStringRef(), grads[0],
                        ctx->saved_data["rows"].toIntVector()),
            {},
            {},
            {}};
  }
};

struct ReduceScatter : Function<ReduceScatter> {
  static Variable forward(AutogradContext* ctx, const Variable& all, Communicator* group, std::string what,
                          std::vector<int64_t> rows) {
    remember(ctx, *group, what);
    ctx->saved_data["rows"] = rows;
    return scatter_sum(*group, what, all, rows);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    return {
        gather(group_of(ctx), ctx->saved_data["what"].toStringRef(), grads[0], ctx->saved_data["rows"].toIntVector()),
        {},
        {},
        {}};
  }
};

}  // namespace

Pending start_exchange(Communicator& group, const std::string& what, const at::Tensor& send,
                       const std::vector<int64_t>& send_rows, at::Tensor& receive,
                       const std::vector<int64_t>& recv_rows) {
  SB_CHECK(send.is_contiguous() && receive.is_contiguous() && send.scalar_type() == receive.scalar_type(), Shape, what,
           ": an exchange needs contiguous tensors of one type");
  const bool bytes = send.scalar_type() == at::kBFloat16;  // moved, never added
  const int64_t n = row_elements(send) * (bytes ? send.element_size() : 1);
  return group.start_all_to_all_v(what.c_str(), send.const_data_ptr(), elements(send_rows, n),
                                  receive.mutable_data_ptr(), elements(recv_rows, n),
                                  bytes ? DType::u8 : dtype_of(send));
}

at::Tensor all_to_all_rows(Communicator& group, const char* what, const at::Tensor& send,
                           const std::vector<int64_t>& send_rows, const std::vector<int64_t>& recv_rows) {
  return AllToAllV::apply(send, &group, std::string(what), send_rows, recv_rows);
}

at::Tensor all_gather_rows(Communicator& group, const char* what, const at::Tensor& mine,
                           const std::vector<int64_t>& rows) {
  return AllGather::apply(mine, &group, std::string(what), rows);
}

at::Tensor reduce_scatter_rows(Communicator& group, const char* what, const at::Tensor& all,
                               const std::vector<int64_t>& rows) {
  return ReduceScatter::apply(all, &group, std::string(what), rows);
}

void all_reduce_(Communicator& group, const char* what, at::Tensor& x, ReduceOp op) {
  SB_CHECK(x.is_contiguous(), Shape, what, ": all_reduce needs a contiguous tensor");
  group.all_reduce(what, x.mutable_data_ptr(), x.numel(), dtype_of(x), op);
}

}  // namespace smartbird
