// Which instruction sets the kernels are compiled for: the oldest 64-bit processors, AVX2, AVX-512; on others what the
// compiler assumes. Include before hwy/foreach_target.h.
#pragma once

#include "hwy/detect_targets.h"

#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
