// SPDX-License-Identifier: Apache-2.0
/*
 * Records in GlobalPlatform secure storage. A record has a name and one size,
 * and is read and written as a whole: after a power cut it is the old one or
 * the new one. One session at a time has a record; the others wait.
 */
#ifndef CML_STORAGE_H
#define CML_STORAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "status.h"

/*
 * Changes the record's @size bytes in place: all zero if it has never been
 * written. *@changed says whether it is to be written. An error is what the
 * caller of cml_storage_update() gets; then nothing is written.
 */
typedef enum cml_status (*cml_storage_change)(void *ctx, void *record,
					      bool *changed);

/*
 * @record has room for @size bytes and holds the record's in the end.
 * CML_STORAGE, CML_STORAGE_DAMAGED, CML_NO_MEMORY, or what @change says.
 */
enum cml_status cml_storage_update(const char *name, void *record,
				   size_t size, cml_storage_change change,
				   void *ctx);

#endif /* CML_STORAGE_H */
