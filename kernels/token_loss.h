// Cross-entropy of rows of logits [rows, vocabulary] against target [rows] (-1 = not counted), and its gradient:
//   loss = log Σ_v exp(x_v) - x_target;  gradient at the logits: softmax(x)_v - [v = target]; both 0 where not counted
// correct: 1 where the first largest logit is the target. Every row alone: any split gives the same bits. A NaN or infinite
// logit of a counted row makes its loss and gradient NaN.
#pragma once

#include <cstdint>

namespace smartbird::kernels {

// loss [rows], correct [rows].
template <class T>
void token_loss(const T* logits, const int64_t* target, int64_t rows, int64_t vocabulary, double* loss,
                uint8_t* correct);
// The same, and the logits become the gradient.
template <class T>
void token_loss_gradient(T* logits, const int64_t* target, int64_t rows, int64_t vocabulary, double* loss,
                         uint8_t* correct);

}  // namespace smartbird::kernels
