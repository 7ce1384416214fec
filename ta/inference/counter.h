// SPDX-License-Identifier: Apache-2.0
/*
 * A counter that never gives a number twice, whatever the normal world does:
 * not to two sessions, not after a reboot. It stands on secure storage, which
 * OP-TEE protects from being put back. Numbers rise in a session; some are left
 * out, because a session takes them by the block.
 */
#ifndef CML_COUNTER_H
#define CML_COUNTER_H

#include <stdint.h>

#include "status.h"

struct cml_counter {
	uint64_t next, end;	/* this session's block; equal: it is used up */
};

/* CML_STORAGE, CML_STORAGE_DAMAGED, CML_NO_MEMORY */
enum cml_status cml_counter_next(struct cml_counter *counter,
				 uint64_t *number);

#endif /* CML_COUNTER_H */
