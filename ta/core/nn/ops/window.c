// SPDX-License-Identifier: Apache-2.0
#include "window.h"

enum cml_status cml_window(struct cml_node *node, uint32_t padding,
			   struct cml_window *window)
{
	int64_t extent = ((int64_t)window->kernel - 1) * window->dilation + 1;
	int64_t in = window->in;
	int64_t stride = window->stride;
	int64_t size = 0;
	int64_t total = 0;

	if (window->kernel < 1 || window->stride < 1 || window->dilation < 1)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "kernel, stride or dilation below 1");
	if (window->stride > CML_MAX_STRIDE ||
	    window->dilation > CML_MAX_STRIDE)
		return cml_refuse(node, CML_MODEL_LIMIT,
				  "stride or dilation over 1024");
	if (extent > INT32_MAX / 2)
		return cml_refuse(node, CML_MODEL_LIMIT,
				  "kernel reaches over 2^30 elements");

	switch (padding) {
	case CML_TFLITE_SAME:
		size = (in + stride - 1) / stride;
		break;
	case CML_TFLITE_VALID:
		if (extent > in)
			return cml_refuse(node, CML_MODEL_SHAPE,
					  "kernel is larger than its input");
		size = (in - extent + stride) / stride;
		break;
	default:
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_TYPE,
				  "padding is neither SAME nor VALID");
	}
	total = (size - 1) * stride + extent - in;
	window->out = size;
	window->pad = total > 0 ? total / 2 : 0;

	return CML_OK;
}
