// Data-dependent start of a classifier on a pre-trained model: classifier.mean and classifier.whitening are set from the
// pooled rows x of training sequences, so that whitening · (x - mean) has a covariance near 1. Pooled rows of one model
// differ by far less than their common part and mostly in a few directions; a classifier that reads them raw sees little
// else. With Σ = V diag(λ) Vᵀ: whitening = V diag(λ + ε λmax)^-1/2 Vᵀ (ZCA whitening; Kessy, Lewin and Strimmer, 2018);
// ε keeps directions small that are mostly noise. Unlike diag(...)^-1/2 Vᵀ it does not depend on the signs of the
// eigenvectors, nor on their choice where there are fewer sequences than columns, which rounding decides.
#pragma once

#include <functional>

#include "train/step.h"

namespace smartbird {

inline constexpr double kWhiteningFloor = 1e-2;  // ε

// Reads the first `sequences` samples (at most an epoch) without gradients. Collective; beyond rounding the same for any
// number of ranks, and the same bits on all ranks. stop: asked before every batch, collective; where it says yes nothing is set, and
// the answer is false.
[[nodiscard]] bool whiten_label_head(const StepSetup& setup, const Corpus& corpus, const Sampler& sampler,
                                     int64_t sequences, const std::function<bool()>& stop);

}  // namespace smartbird
