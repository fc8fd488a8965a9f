// Cross-entropy of rows of logits [rows, vocabulary] against target [rows] (-1 = not counted), and its gradient:
//   loss = log Σ_v exp(x_v) - x_target;  gradient at the logits: softmax(x)_v - [v = target]; both 0 where not counted
// correct: 1 where the first largest logit is the target. Every row alone: any split gives the same bits. A NaN or infinite
// logit of a counted row makes its loss and gradient NaN.
#pragma once

#include <cstdint>

#include "kernels/device_stream.h"

namespace smartbird::kernels {

// loss [rows], correct [rows].
template <class T>
void token_loss(const T* logits, const int64_t* target, int64_t rows, int64_t vocabulary, double* loss,
                uint8_t* correct);
// The same, and the logits become the gradient.
template <class T>
void token_loss_gradient(T* logits, const int64_t* target, int64_t rows, int64_t vocabulary, double* loss,
                         uint8_t* correct);

// On a GPU, with pointers to its memory, in float or from and to bfloat16 (the bits); sums in float, in a fixed order.
template <class Element>
void token_loss(Stream stream, const Element* logits, const int64_t* target, int64_t rows, int64_t vocabulary,
                double* loss, uint8_t* correct);
template <class Element>
void token_loss_gradient(Stream stream, Element* logits, const int64_t* target, int64_t rows, int64_t vocabulary,
                         double* loss, uint8_t* correct);

}  // namespace smartbird::kernels
