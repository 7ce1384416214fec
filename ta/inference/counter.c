// SPDX-License-Identifier: Apache-2.0
#include "counter.h"
#include "storage.h"

/* Writing takes milliseconds: so many results share one. */
#define BLOCK	1024

static enum cml_status take_block(void *ctx, void *record, bool *changed)
{
	struct cml_counter *counter = ctx;
	uint64_t *stored = record;

	if (*stored > UINT64_MAX - BLOCK)
		return CML_INTERNAL;
	counter->next = *stored;
	*stored += BLOCK;
	counter->end = *stored;
	*changed = true;

	return CML_OK;
}

enum cml_status cml_counter_next(struct cml_counter *counter,
				 uint64_t *number)
{
	struct cml_counter block = *counter;
	enum cml_status status = CML_OK;
	uint64_t record = 0;

	if (block.next == block.end) {
		status = cml_storage_update("cml-counter-v1", &record,
					    sizeof(record), take_block,
					    &block);
		if (status)
			return status;
	}
	*number = ++block.next;
	*counter = block;

	return CML_OK;
}
