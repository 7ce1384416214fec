// SPDX-License-Identifier: Apache-2.0
/* A kernel that slides over an input: convolutions, pooling. */
#ifndef CML_OPS_WINDOW_H
#define CML_OPS_WINDOW_H

#include "nn/op.h"

#define CML_MAX_STRIDE	1024	/* and dilation */

/* One side of it. */
struct cml_window {
	int32_t in, kernel, stride, dilation;
	int32_t out;
	int32_t pad;		/* before the input */
};

/*
 * Sets out and pad from the others and @padding (enum cml_tflite_padding), as
 * TFLite's padding.h. Every coordinate of a tap then fits in 32 bits.
 */
enum cml_status cml_window(struct cml_node *node, uint32_t padding,
			   struct cml_window *window);

#endif /* CML_OPS_WINDOW_H */
