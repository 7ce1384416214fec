// SPDX-License-Identifier: Apache-2.0
#include "board.h"

/* Of all names that are not random: one in 2^64 says that it was taken. */
#define BOARD_NAME	1

struct cml_board *cml_board_open(struct cml_secure_memory *memory,
				 struct cml_shared *shared)
{
	TEE_Result res = TEE_SUCCESS;

	/* Between the two another session may have made it, or let it go. */
	while (!shared->ptr) {
		res = cml_shared_map(memory, BOARD_NAME, shared);
		if (res == TEE_ERROR_ITEM_NOT_FOUND)
			res = cml_shared_create(memory, BOARD_NAME,
						sizeof(struct cml_board),
						shared);
		if (res && res != TEE_ERROR_ACCESS_CONFLICT)
			return NULL;
	}

	return (struct cml_board *)shared->ptr;
}

/* Its session died, or it would still have the arena. */
static bool is_orphan(struct cml_secure_memory *memory, uint64_t arena)
{
	struct cml_shared shared = { 0 };
	TEE_Result res = cml_shared_map(memory, arena, &shared);

	cml_shared_unmap(memory, &shared);

	return res == TEE_ERROR_ITEM_NOT_FOUND;
}

struct cml_slot *cml_board_take(struct cml_secure_memory *memory,
				struct cml_board *board, uint64_t arena,
				uint64_t model, uint32_t *attempt)
{
	for (size_t i = 0; i < 2 * CML_BOARD_SLOTS; i++) {
		struct cml_slot *slot = &board->slots[i % CML_BOARD_SLOTS];
		uint64_t before = atomic_load(&slot->arena);

		/* The second time around, orphans' too */
		if (before && (i < CML_BOARD_SLOTS ||
			       !is_orphan(memory, before)))
			continue;
		if (!atomic_compare_exchange_strong(&slot->arena, &before,
						    arena))
			continue;
		*attempt = cml_job_close(&slot->job);
		atomic_store(&slot->model, model);

		return slot;
	}

	return NULL;
}

uint32_t cml_board_retry(struct cml_slot *slot, uint64_t arena)
{
	uint32_t attempt = cml_job_close(&slot->job);

	atomic_store(&slot->arena, arena);

	return attempt;
}

void cml_board_leave(struct cml_slot *slot)
{
	cml_job_close(&slot->job);
	atomic_store(&slot->arena, 0);
}

bool cml_board_find(struct cml_board *board, size_t first,
		    struct cml_offer *offer)
{
	for (size_t i = 0; i < CML_BOARD_SLOTS; i++) {
		struct cml_slot *slot =
			&board->slots[(first + i) % CML_BOARD_SLOTS];

		*offer = (struct cml_offer){
			.slot = slot,
			.attempt = cml_job_attempt(&slot->job),
			.arena = atomic_load(&slot->arena),
			.model = atomic_load(&slot->model),
		};
		/* The same still: arena and model are of this attempt. */
		if (offer->attempt && offer->arena &&
		    offer->attempt == cml_job_attempt(&slot->job))
			return true;
	}

	return false;
}
