#ifndef KERNELS_PROBE_H
#define KERNELS_PROBE_H
/* How fast this machine reads weights, measured in a few tens of milliseconds: what the speed of writing is told from before a model is loaded. */
#include <stddef.h>

#include "kernels/quant.h"

/* Bytes of packed weights a second that n_threads multiply with one token, of a matrix of about `bytes`; 0: cannot be measured. */
double probe_weights(enum qtype type, size_t bytes, int n_threads);
/* Seconds that all threads need to meet once. */
double probe_meeting(int n_threads);

#endif
