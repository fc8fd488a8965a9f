// The kernels for a GPU in a program that has none: an archive's member, so that a program with the real ones never takes it.
#include "core/error.h"
#include "kernels/adamw.h"
#include "kernels/attention_device.h"
#include "kernels/draw_device.h"
#include "kernels/dropout.h"
#include "kernels/filled_scan_device.h"
#include "kernels/pick_transpose.h"
#include "kernels/pick_unite.h"
#include "kernels/row_sums.h"
#include "kernels/sketch_rows.h"
#include "kernels/token_loss.h"

namespace smartbird::kernels {
namespace {

[[noreturn]] void refuse() {
  fail(ErrorKind::Environment,
       "a tensor lies on a GPU, but this build has no kernels for one; build with the cuda preset");
}

}  // namespace

template <>
void sketch_scan(Stream, const DeviceScanInput<float>&, float*, double*) {
  refuse();
}
template <>
void sketch_scan(Stream, const DeviceScanInput<uint16_t>&, float*, double*) {
  refuse();
}
template <>
void fill_budget(Stream, const DeviceScanInput<float>&, const DrawOptions&, const double*, float*, double*, double*) {
  refuse();
}
template <>
void fill_budget(Stream, const DeviceScanInput<uint16_t>&, const DrawOptions&, const double*, float*, double*,
                 double*) {
  refuse();
}
void count_picks(Stream, const DeviceScanInput<float>&, const DrawOptions&, const DeviceDrawInput&, int32_t*) {
  refuse();
}
void count_picks(Stream, const DeviceScanInput<uint16_t>&, const DrawOptions&, const DeviceDrawInput&, int32_t*) {
  refuse();
}
void write_picks(Stream, const ScanTile*, int64_t, const DrawOptions&, const DeviceDrawInput&, const int64_t*, int32_t*,
                 float*) {
  refuse();
}
int64_t pick_transpose_bytes(int64_t) { refuse(); }
void pick_transpose(Stream, int64_t, int64_t, const PicksByRow&, void*, PicksByUnit) { refuse(); }
void count_united_steps(Stream, const DevicePickLists&, int64_t*) { refuse(); }
void pick_unite(Stream, const DevicePickLists&, const int64_t*, int32_t*, uint16_t*) { refuse(); }

template <class Element>
void attention_forward(Stream, const DeviceAttentionInput<Element>&, Element*, float*) {
  refuse();
}
template <class Element>
void attention_backward_q(Stream, const DeviceAttentionInput<Element>&, const Element*, const float*, const Element*,
                          Element*, float*) {
  refuse();
}
template <class Element>
void attention_backward_kv(Stream, const DeviceAttentionInput<Element>&, const DeviceKeyLists&, const Element*,
                           const float*, Element*) {
  refuse();
}
template void attention_forward(Stream, const DeviceAttentionInput<float>&, float*, float*);
template void attention_forward(Stream, const DeviceAttentionInput<uint16_t>&, uint16_t*, float*);
template void attention_backward_q(Stream, const DeviceAttentionInput<float>&, const float*, const float*, const float*,
                                   float*, float*);
template void attention_backward_q(Stream, const DeviceAttentionInput<uint16_t>&, const uint16_t*, const float*,
                                   const uint16_t*, uint16_t*, float*);
template void attention_backward_kv(Stream, const DeviceAttentionInput<float>&, const DeviceKeyLists&, const float*,
                                    const float*, float*);
template void attention_backward_kv(Stream, const DeviceAttentionInput<uint16_t>&, const DeviceKeyLists&,
                                    const uint16_t*, const float*, uint16_t*);

void dropout_factors(Stream, const Dropout&, const int64_t*, const int64_t*, int64_t, int64_t, float*) { refuse(); }
void row_linear(Stream, const float*, const float*, int64_t, int64_t, int64_t, float*) { refuse(); }
void row_norm(Stream, const float*, const float*, double, int64_t, int64_t, float*, float*) { refuse(); }
void mean_of_rows(Stream, const int64_t*, const int64_t*, const float*, int64_t, int64_t, float*) { refuse(); }

template <class Element>
void token_loss(Stream, const Element*, const int64_t*, int64_t, int64_t, double*, uint8_t*) {
  refuse();
}
template <class Element>
void token_loss_gradient(Stream, Element*, const int64_t*, int64_t, int64_t, double*, uint8_t*) {
  refuse();
}
template void token_loss(Stream, const float*, const int64_t*, int64_t, int64_t, double*, uint8_t*);
template void token_loss(Stream, const uint16_t*, const int64_t*, int64_t, int64_t, double*, uint8_t*);
template void token_loss_gradient(Stream, float*, const int64_t*, int64_t, int64_t, double*, uint8_t*);
template void token_loss_gradient(Stream, uint16_t*, const int64_t*, int64_t, int64_t, double*, uint8_t*);

template <class T>
void adamw(Stream, const AdamW&, int64_t, const T*, T*, T*, T*) {
  refuse();
}
template void adamw(Stream, const AdamW&, int64_t, const float*, float*, float*, float*);
template void adamw(Stream, const AdamW&, int64_t, const double*, double*, double*, double*);

}  // namespace smartbird::kernels
