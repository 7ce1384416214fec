// SPDX-License-Identifier: Apache-2.0
/*
 * What the data owner gets: a CBOR map (RFC 8949), signed as COSE_Sign1 by the
 * TA's signing key, in COSE_Encrypt0 (RFC 9052) with A256GCM under
 * HKDF-SHA256(data key, salt "", info "cml-result-v1"). What is sealed is the
 * map and zeros up to one size, whatever the map holds. docs/wire-formats.md
 * has the CDDL.
 */
#ifndef CML_RESULT_H
#define CML_RESULT_H

#include "cose_sign1.h"
#include "crypto.h"
#include "header.h"
#include "ssd.h"

struct cml_timings {
	uint32_t jpeg_us;	/* decode and resize, over all pushes */
	uint32_t network_us;
	uint32_t boxes_us;
};

#define CML_DEVICE_ID_SIZE	16

struct cml_result {
	/* Which request: SHA-256 of its header and stream, and its number */
	uint8_t request_digest[CML_SHA256_SIZE];
	uint64_t sequence;
	char model_name[CML_MODEL_NAME_MAX_LEN + 1];
	uint64_t model_version;
	uint8_t model_digest[CML_SHA256_SIZE];	/* SHA-256 of the .tflite */
	/* Who says so: gpd.tee.deviceID, the TA's version */
	uint8_t device_id[CML_DEVICE_ID_SIZE];
	const char *ta_version;
	uint64_t counter;	/* no two under one signing key are the same */
	uint8_t output_digest[CML_SHA256_SIZE];	/* over all output tensors */
	uint32_t width, height;			/* as displayed */
	struct cml_timings timings;
	struct cml_detection detections[CML_SSD_MAX_DETECTIONS];
	size_t detection_count;
};

/* Largest encoding of a result, sealed. */
#define CML_RESULT_MAX_SIZE	16384

/*
 * CBOR of @result into @out. @len: in, room; out, used.
 * CML_INTERNAL when it does not fit: CML_RESULT_MAX_SIZE always does.
 */
enum cml_status cml_result_encode(const struct cml_result *result,
				  uint8_t *out, size_t *len);

/* What sealing adds to an encoded result, at most; without a certificate. */
#define CML_RESULT_SEAL_SIZE	192

/* One of the two layers may be left out: NULL. */
struct cml_result_seal {
	const uint8_t *data_key;	/* COSE_Encrypt0, outside */
	const struct cml_cose_signer *signer;	/* COSE_Sign1, inside */
};

/*
 * @external_aad: SHA-256 of the request, header and stream; both layers are
 * bound to it. @len: in, room; out, used. CML_INTERNAL when it does not fit.
 */
enum cml_status cml_result_seal(const struct cml_result_seal *seal,
				struct cml_bytes external_aad,
				struct cml_bytes plain, uint8_t *out,
				size_t *len);

#endif /* CML_RESULT_H */
