// SPDX-License-Identifier: Apache-2.0
/* A network's run, alone or with the help of other sessions. */
#ifndef CML_NETWORK_H
#define CML_NETWORK_H

#include "board.h"

/* What a run needs besides the model, which stays with the caller. */
struct cml_network {
	struct cml_run run;
	struct cml_shared arena;
	size_t scratch_size;
};

/* CML_NO_MEMORY */
enum cml_status cml_network_open(struct cml_secure_memory *memory,
				 const struct cml_model *model,
				 struct cml_network *network);
/* Wipes: a worker that comes late may have the arena for longer. */
void cml_network_close(struct cml_secure_memory *memory,
		       struct cml_network *network);

/*
 * Runs it on the inputs that are in the arena. If other sessions take tiles and
 * do not come back, begins anew in another arena: network->run says where the
 * outputs are. @board: NULL for none. CML_NO_MEMORY.
 */
enum cml_status cml_network_run(struct cml_secure_memory *memory,
				struct cml_board *board,
				const struct cml_model *model,
				struct cml_network *network,
				cml_clock clock);

/* What a session keeps while it works for others. */
struct cml_helper {
	struct cml_model model;
	uint8_t *scratch;
	size_t scratch_size;
};

/*
 * Works on @offer until its job ends or nobody gets on with it. Returns how
 * many tiles it did.
 */
uint64_t cml_helper_work(struct cml_secure_memory *memory,
			 struct cml_helper *helper,
			 const struct cml_offer *offer, cml_clock clock);
void cml_helper_drop(struct cml_secure_memory *memory,
		     struct cml_helper *helper);

#endif /* CML_NETWORK_H */
