// SPDX-License-Identifier: Apache-2.0
/*
 * Threads, one a core, that bring sessions of the TA to help with photos. A
 * thread works only while its core has no photo of its own: in the TA, one
 * that waits would keep the other from what it waits for.
 */
#ifndef CML_WORKERS_H
#define CML_WORKERS_H

#include <stdbool.h>
#include <stddef.h>

struct workers;

struct workers *workers_new(void);
/* Ends the threads: nobody's photo runs any more. */
void workers_free(struct workers *workers);
unsigned int workers_core_count(const struct workers *workers);

/*
 * A photo is to be expected: helpers open their sessions already, if they leave
 * @spare bytes of secure memory for the model that is being loaded.
 */
void workers_prepare(struct workers *workers, size_t spare);
/* Returns when they have, or cannot: nothing goes on in the background then. */
void workers_wait_prepared(struct workers *workers);
/*
 * On @core a photo runs from now on, for which at most @limit cores may work,
 * this one counted; 0: all.
 */
void workers_begin(struct workers *workers, unsigned int core,
		   unsigned int limit);
void workers_end(struct workers *workers, unsigned int core,
		 unsigned int limit);
/*
 * Secure memory is short: closes helpers' sessions, once they have done what they
 * are at. False: there were none.
 */
bool workers_make_room(struct workers *workers);

#endif /* CML_WORKERS_H */
