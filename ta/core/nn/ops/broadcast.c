// SPDX-License-Identifier: Apache-2.0
#include "broadcast.h"

/* Dimension @d of @tensor as if it had @rank of them. */
static uint32_t dim(const struct cml_tensor *tensor, uint32_t rank, uint32_t d)
{
	uint32_t missing = rank - tensor->rank;

	return d < missing ? 1 : tensor->dims[d - missing];
}

enum cml_status cml_broadcast_prepare(struct cml_node *node, size_t inputs,
				      struct cml_broadcast *broadcast)
{
	const struct cml_tensor *output = cml_node_output(node, 0);
	int32_t shape[CML_MAX_RANK] = { 0 };
	uint32_t sizes[CML_BROADCAST_INPUTS] = { 1, 1, 1 };
	struct cml_broadcast all = { .inner = 1 };
	enum cml_status status = CML_INTERNAL;
	uint32_t rank = 0;
	uint32_t kept = 0;

	for (size_t i = 0; i < inputs; i++)
		if (cml_node_input(node, i)->rank > rank)
			rank = cml_node_input(node, i)->rank;
	for (uint32_t d = 0; d < rank; d++) {
		uint32_t largest = 1;

		for (size_t i = 0; i < inputs; i++) {
			uint32_t own = dim(cml_node_input(node, i), rank, d);

			if (own != 1 && largest != 1 && own != largest)
				return cml_refuse(node, CML_MODEL_SHAPE,
						  "inputs of an operator do "
						  "not broadcast");
			if (own != 1)
				largest = own;
		}
		shape[d] = largest;
	}
	status = cml_node_shape(node, output, rank, shape);
	if (status)
		return status;

	/* Inside out, joining dimensions that are broadcast alike. */
	for (uint32_t d = rank; d-- > 0;) {
		uint32_t steps[CML_BROADCAST_INPUTS] = { 0 };
		bool same = kept;

		if (shape[d] == 1)
			continue;
		for (size_t i = 0; i < inputs; i++) {
			uint32_t own = dim(cml_node_input(node, i), rank, d);

			steps[i] = own == 1 ? 0 : sizes[i];
			sizes[i] *= own;
			same = same && steps[i] == all.stride[i][kept - 1] *
						   all.dims[kept - 1];
		}
		if (same) {
			all.dims[kept - 1] *= shape[d];
			continue;
		}
		all.dims[kept] = shape[d];
		for (size_t i = 0; i < inputs; i++)
			all.stride[i][kept] = steps[i];
		kept++;
	}
	*broadcast = (struct cml_broadcast){ .inner = 1 };
	broadcast->count = output->count;
	if (!kept)
		return CML_OK;

	/* Inner steps are 0 or 1, as nothing within them was left out. */
	broadcast->inner = all.dims[0];
	broadcast->rank = kept - 1;
	for (size_t i = 0; i < inputs; i++)
		broadcast->step[i] = all.stride[i][0];
	for (uint32_t d = 0; d < broadcast->rank; d++) {
		uint32_t from = kept - 1 - d;

		broadcast->dims[d] = all.dims[from];
		for (size_t i = 0; i < inputs; i++)
			broadcast->stride[i][d] = all.stride[i][from];
	}

	return CML_OK;
}

bool cml_broadcast_next(const struct cml_broadcast *broadcast,
			struct cml_range *rest, struct cml_segment *segment)
{
	uint32_t row = rest->begin / broadcast->inner;
	uint32_t column = rest->begin % broadcast->inner;
	uint32_t left = broadcast->inner - column;

	if (rest->begin >= rest->end)
		return false;
	if (left > rest->end - rest->begin)
		left = rest->end - rest->begin;
	*segment = (struct cml_segment){ .out = rest->begin, .count = left };
	for (size_t i = 0; i < CML_BROADCAST_INPUTS; i++)
		segment->in[i] = column * broadcast->step[i];
	for (uint32_t d = broadcast->rank; d-- > 0;) {
		uint32_t index = row % broadcast->dims[d];

		row /= broadcast->dims[d];
		for (size_t i = 0; i < CML_BROADCAST_INPUTS; i++)
			segment->in[i] += index * broadcast->stride[i][d];
	}
	rest->begin += left;

	return true;
}
