// One optimizer step, and one pass of evaluation: the file to read first.
#pragma once

#include <functional>

#include "comm/world.h"
#include "config/options.h"
#include "data/sampler.h"
#include "model/transformer.h"
#include "train/metrics.h"
#include "train/optimizer.h"

namespace smartbird {

// What a step needs that does not change from step to step.
struct StepSetup {
  const World& world;
  Transformer& model;
  const Options& options;
  Task task = Task::Clm;
  Link link = {};
};

// Trains on the samples of one batch; step counts from 1. The record has sums over all ranks. Collective.
[[nodiscard]] StepRecord train_step(const StepSetup& setup, Optimizer& optimizer, const Corpus& corpus,
                                    const std::vector<Sample>& batch, int64_t step);

// Every sequence of the corpus once (at most eval.sequences), in corpus order, without gradients. Collective. stop, if
// given, is asked before every batch (it must answer alike on all ranks); after a yes the result is empty.
// values: loss (nats per counted target or label), bits_per_byte (token tasks), accuracy, sequences; classify: majority_accuracy.
[[nodiscard]] std::map<std::string, double> evaluate(const StepSetup& setup, const Corpus& corpus,
                                                     const std::function<bool()>& stop = {});

}  // namespace smartbird
