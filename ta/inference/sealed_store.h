// SPDX-License-Identifier: Apache-2.0
/*
 * Records in secure storage, sealed under a key that only this code has, and
 * named by its measurement: another build of the TA has others, and cannot open
 * or make these. It can delete them, for OP-TEE knows TAs by their UUIDs: so
 * what is lost must never bring back what was.
 */
#ifndef CML_SEALED_STORE_H
#define CML_SEALED_STORE_H

#include "crypto.h"
#include "sealed_record.h"
#include "storage.h"

/* What a session needs to know to find and open them; once asked for. */
struct cml_sealing {
	bool ready;
	uint8_t key[CML_AES256_KEY_SIZE];
	uint8_t id[8];			/* of the code */
};

#define CML_SEALED_LABEL_MAX_LEN	32

/*
 * As cml_storage_update(), of the record "LABEL.ID": @change gets its content,
 * without head and tag. What is in @record in the end is of no use, but may be
 * secret: the caller wipes it.
 */
enum cml_status cml_sealed_update(struct cml_sealing *sealing,
				  const char *label, void *record, size_t size,
				  cml_storage_change change, void *ctx);

#endif /* CML_SEALED_STORE_H */
