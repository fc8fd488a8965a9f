// The picks of a plan made ready for attention, once for all layers and passes that use them: where a run of rows
// (attention_tile.h) has several lists, their union, and the place of every pick in it. What lies where depends on the
// lists alone.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/raw_vector.h"
#include "kernels/sparse_attention.h"

namespace smartbird::kernels {

// How a run of rows with several lists goes through their keys: the union of the lists as one masked product, or list by
// list, where a product of all rows with all keys would be mostly masked. The bits are the same.
enum class Walk : uint8_t { Union, ListsForward, Lists };  // ListsForward: list by list in the forward pass alone

struct PickTiles {
  std::vector<int64_t> row_begin;  // [runs + 1] rows of each run
  std::vector<int64_t> start{
      0};  // [runs · pick_heads + 1] into unit: the union of (run, pick head) at run · pick_heads + head
  RawVector<int32_t> unit;   // ascending stream positions; nothing where a run has one list, or Walk::Lists
  RawVector<int32_t> place;  // [picks] in its union; of no meaning where there is none
  std::vector<Walk> walk;    // [runs · pick_heads]
};

// From the rows, heads and picks of `input`; its q, kv and log π are not read. walk: the same for every run with several
// lists; by default what their overlap asks for.
template <class T>
[[nodiscard]] PickTiles unite_picks(const AttentionInput<T>& input, std::optional<Walk> walk = {});

}  // namespace smartbird::kernels
