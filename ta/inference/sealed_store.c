// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "evidence.h"
#include "keys.h"
#include "memory.h"
#include "sealed_store.h"

static const char key_label[] = "sealing";

static enum cml_status get_ready(struct cml_sealing *sealing)
{
	struct cml_bytes label = cml_bytes(key_label, sizeof(key_label) - 1);
	uint8_t digest[CML_SHA256_SIZE] = { 0 };
	uint8_t seed[CML_SEED_SIZE] = { 0 };
	enum cml_status status = CML_OK;

	if (sealing->ready)
		return CML_OK;
	status = cml_evidence_measurement(digest);
	if (!status)
		status = cml_evidence_seed(key_label, seed);
	if (!status)
		status = cml_keys_symmetric(seed, label, sealing->key);
	cml_wipe(seed, sizeof(seed));
	if (status)
		return status;
	memcpy(sealing->id, digest, sizeof(sealing->id));
	sealing->ready = true;

	return CML_OK;
}

struct sealed_change {
	const struct cml_sealing *sealing;
	struct cml_bytes label;
	size_t size;
	cml_storage_change change;
	void *ctx;
};

static enum cml_status change_sealed(void *ctx, void *record, bool *changed)
{
	const struct sealed_change *sealed = ctx;
	enum cml_status status = CML_INTERNAL;

	status = cml_sealed_record_open(sealed->sealing->key, sealed->label,
					record, sealed->size);
	if (!status)
		status = sealed->change(sealed->ctx, (uint8_t *)record +
					sizeof(struct cml_sealed_head),
					changed);
	if (!status && *changed)
		status = cml_sealed_record_seal(sealed->sealing->key,
						sealed->label, record,
						sealed->size);

	return status;
}

enum cml_status cml_sealed_update(struct cml_sealing *sealing,
				  const char *label, void *record, size_t size,
				  cml_storage_change change, void *ctx)
{
	char name[CML_SEALED_LABEL_MAX_LEN + sizeof(".") + 16] = { 0 };
	struct sealed_change sealed = {
		.sealing = sealing, .label = cml_bytes(label, strlen(label)),
		.size = size, .change = change, .ctx = ctx,
	};
	enum cml_status status = get_ready(sealing);
	uint64_t number = 0;

	if (status)
		return status;
	if (sealed.label.len > CML_SEALED_LABEL_MAX_LEN)
		return CML_INTERNAL;
	for (size_t i = 0; i < sizeof(sealing->id); i++)
		number = number << 8 | sealing->id[i];
	snprintf(name, sizeof(name), "%s.%016" PRIx64, label, number);

	return cml_storage_update(name, record, size, change_sealed, &sealed);
}
