// SPDX-License-Identifier: Apache-2.0
/* The TA's own claims are in docs/attestation.md. */
#include <string.h>

#include "cbor.h"

#include "cml_ta.h"
#include "evidence.h"
#include "session.h"

/* RFC 9711, and private ones */
#define CLAIM_CNF		8	/* RFC 8747: of the wrapping key */
#define CLAIM_SWNAME		270
#define CLAIM_SWVERSION		271
#define CLAIM_SIGNING_KEY	(-75011)
#define CLAIM_MODELS		(-75012)
#define CLAIM_CHALLENGE		(-75013)
#define CNF_COSE_KEY		1

_Static_assert(TA_CML_NONCE_MIN_SIZE == CML_NONCE_MIN_SIZE &&
	       TA_CML_NONCE_MAX_SIZE == CML_NONCE_MAX_SIZE,
	       "two sizes for one thing");

/* COSE_Key of P-256, as cml_cose_key_encode() has it. */
static CborError put_key(CborEncoder *map,
			 const uint8_t point[CML_P256_POINT_SIZE])
{
	CborError error = CborNoError;
	CborEncoder key = { 0 };

	error = cbor_encoder_create_map(map, &key, 4);
	error |= cbor_encode_int(&key, 1);	/* kty */
	error |= cbor_encode_int(&key, 2);	/* EC2 */
	error |= cbor_encode_int(&key, -1);	/* crv */
	error |= cbor_encode_int(&key, 1);	/* P-256 */
	error |= cbor_encode_int(&key, -2);	/* x */
	error |= cbor_encode_byte_string(&key, point + 1, 32);
	error |= cbor_encode_int(&key, -3);	/* y */
	error |= cbor_encode_byte_string(&key, point + 33, 32);
	error |= cbor_encoder_close_container(map, &key);

	return error;
}

static enum cml_status put_claims(struct cml_session *session, uint8_t *claims,
				  size_t *len)
{
	const struct cml_own_key *wrapping = NULL, *signing = NULL;
	const struct cml_model *model = &session->model;
	enum cml_status status = CML_INTERNAL;
	CborError error = CborNoError;
	CborEncoder encoder = { 0 };
	CborEncoder inner = { 0 };
	CborEncoder map = { 0 };
	size_t models = cml_model_is_ready(model);

	status = cml_identity_get_both(&session->identity, &wrapping,
				       &signing);
	if (status)
		return status;

	cbor_encoder_init(&encoder, claims, *len, 0);
	error = cbor_encoder_create_map(&encoder, &map, 6);
	error |= cbor_encode_int(&map, CLAIM_CNF);
	error |= cbor_encoder_create_map(&map, &inner, 1);
	error |= cbor_encode_int(&inner, CNF_COSE_KEY);
	error |= put_key(&inner, wrapping->point);
	error |= cbor_encoder_close_container(&map, &inner);
	error |= cbor_encode_int(&map, CLAIM_SWNAME);
	error |= cbor_encode_text_stringz(&map, "inference");
	error |= cbor_encode_int(&map, CLAIM_SWVERSION);
	/* RFC 9711, 4.2.7: a version, and by what scheme; none is said */
	error |= cbor_encoder_create_array(&map, &inner, 1);
	error |= cbor_encode_text_stringz(&inner, TA_CML_VERSION);
	error |= cbor_encoder_close_container(&map, &inner);
	error |= cbor_encode_int(&map, CLAIM_SIGNING_KEY);
	error |= put_key(&map, signing->point);
	error |= cbor_encode_int(&map, CLAIM_MODELS);
	error |= cbor_encoder_create_array(&map, &inner, models);
	if (models)
		error |= cbor_encode_byte_string(&inner,
						 cml_model_head(model)->digest,
						 CML_SHA256_SIZE);
	error |= cbor_encoder_close_container(&map, &inner);
	error |= cbor_encode_int(&map, CLAIM_CHALLENGE);
	error |= cbor_encode_byte_string(&map, session->challenge,
					 CML_CHALLENGE_SIZE);
	error |= cbor_encoder_close_container(&encoder, &map);
	if (error)
		return CML_INTERNAL;
	*len = cbor_encoder_get_buffer_size(&encoder, claims);

	return CML_OK;
}

TEE_Result cml_cmd_attest(struct cml_session *session, TEE_Param *params)
{
	uint8_t nonce[CML_NONCE_MAX_SIZE] = { 0 };
	uint8_t token[TA_CML_TOKEN_MAX_SIZE] = { 0 };
	enum cml_status status = CML_INTERNAL;
	TEE_Result res = TEE_ERROR_GENERIC;
	size_t token_len = sizeof(token);
	struct cml_bytes bytes = { 0 };
	uint8_t claims[512] = { 0 };
	size_t claims_len = sizeof(claims);

	res = cml_param_bytes(&params[0], sizeof(nonce), &bytes);
	if (res)
		return res;
	if (bytes.len < CML_NONCE_MIN_SIZE)
		return TEE_ERROR_BAD_PARAMETERS;
	memcpy(nonce, bytes.ptr, bytes.len);

	status = put_claims(session, claims, &claims_len);
	if (!status)
		status = cml_evidence_token(cml_bytes(nonce, bytes.len),
					    cml_bytes(claims, claims_len),
					    token, &token_len);
	if (status)
		return cml_tee_result(status);

	return cml_param_put(&params[1], cml_bytes(token, token_len));
}
