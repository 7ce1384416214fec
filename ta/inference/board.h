// SPDX-License-Identifier: Apache-2.0
/*
 * The board, one shared page: which photos could do with more hands. The
 * session that runs a network posts its job there; sessions that the normal
 * world has called to work look for one. It also says when the TA's keys were
 * rotated.
 */
#ifndef CML_BOARD_H
#define CML_BOARD_H

#include "model.h"
#include "nn/job.h"

/* Jobs at a time; a photo for which there is no slot runs without help. */
#define CML_BOARD_SLOTS		16

struct cml_slot {
	_Atomic uint64_t arena;		/* name of its block; 0: slot is free */
	_Atomic uint64_t model;		/* of the graph's block */
	struct cml_job job;
};

struct cml_board {
	struct cml_slot slots[CML_BOARD_SLOTS];
	/* Of the TA's keys (identity.h): sessions at it; how often it was done */
	_Atomic uint32_t rotating;
	_Atomic uint64_t rotated;
};

/* Maps the board into @shared, unless it is; NULL when there is no memory. */
struct cml_board *cml_board_open(struct cml_secure_memory *memory,
				 struct cml_shared *shared);
/* A slot for the job in @arena, which is closed as yet. NULL: all are taken. */
struct cml_slot *cml_board_take(struct cml_secure_memory *memory,
				struct cml_board *board, uint64_t arena,
				uint64_t model, uint32_t *attempt);
/* Another attempt, in another arena. */
uint32_t cml_board_retry(struct cml_slot *slot, uint64_t arena);
void cml_board_leave(struct cml_slot *slot);

/* A job that is open, as it was found. */
struct cml_offer {
	struct cml_slot *slot;
	uint64_t arena, model;
	uint32_t attempt;
};

/* Looks from slot @first on, round the board. */
bool cml_board_find(struct cml_board *board, size_t first,
		    struct cml_offer *offer);

#endif /* CML_BOARD_H */
