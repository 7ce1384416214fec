// SPDX-License-Identifier: Apache-2.0
/*
 * 18([ << {1: -7} >>, {4: kid, ? 33: certificate}, payload, r || s ])
 *
 * signed as Sig_structure (RFC 9052, 4.4):
 *
 * ["Signature1", << {1: -7} >>, external_aad, payload]
 */
#include <string.h>

#include "cbor_head.h"
#include "cose_encrypt0.h"
#include "cose_sign1.h"

/* Tag 18, array(4), << {1: -7} >> */
static const uint8_t begin[] = { 0xd2, 0x84, 0x43, 0xa1, 0x01, 0x26 };

/* 4: a string of 32 bytes; a map's head stands before it */
static const uint8_t kid_begin[] = { 0x04, 0x58, CML_THUMBPRINT_SIZE };

/* 33 (x5chain) */
static const uint8_t x5chain[] = { 0x18, 33 };

/* A string of 64 bytes */
static const uint8_t sig_begin[] = { 0x58, CML_P256_SIGNATURE_SIZE };

/* array(4), "Signature1", << {1: -7} >> */
static const uint8_t structure_begin[] = {
	0x84, 0x6a, 'S', 'i', 'g', 'n', 'a', 't', 'u', 'r', 'e', '1',
	0x43, 0xa1, 0x01, 0x26,
};

static size_t header_size(const struct cml_cose_signer *signer)
{
	size_t size = sizeof(begin) + 1 + sizeof(kid_begin) +
		      sizeof(signer->kid);

	if (signer->certificate.len)
		size += sizeof(x5chain) +
			cml_cbor_head_size(signer->certificate.len) +
			signer->certificate.len;

	return size;
}

size_t cml_cose_sign1_offset(const struct cml_cose_signer *signer, size_t len)
{
	return header_size(signer) + cml_cbor_head_size(len);
}

size_t cml_cose_sign1_size(const struct cml_cose_signer *signer, size_t len)
{
	return cml_cose_sign1_offset(signer, len) + len + sizeof(sig_begin) +
	       CML_P256_SIGNATURE_SIZE;
}

/* Gives what comes after. */
static uint8_t *put(uint8_t *out, const void *bytes, size_t len)
{
	memcpy(out, bytes, len);

	return out + len;
}

static uint8_t *put_header(const struct cml_cose_signer *signer, uint8_t *out)
{
	const struct cml_bytes *certificate = &signer->certificate;

	out = put(out, begin, sizeof(begin));
	*out++ = certificate->len ? 0xa2 : 0xa1; /* a map of 2, or of 1 */
	out = put(out, kid_begin, sizeof(kid_begin));
	out = put(out, signer->kid, sizeof(signer->kid));
	if (!certificate->len)
		return out;
	out = put(out, x5chain, sizeof(x5chain));
	out += cml_cbor_put_head(out, CML_CBOR_BYTES, certificate->len);

	return put(out, certificate->ptr, certificate->len);
}

static enum cml_status structure_digest(struct cml_bytes external_aad,
					struct cml_bytes payload,
					uint8_t digest[CML_SHA256_SIZE])
{
	uint8_t aad_head[CML_CBOR_HEAD_MAX] = { 0 };
	uint8_t head[CML_CBOR_HEAD_MAX] = { 0 };
	struct cml_bytes pieces[] = {
		cml_bytes(structure_begin, sizeof(structure_begin)),
		cml_bytes(aad_head, cml_cbor_put_head(aad_head, CML_CBOR_BYTES,
						      external_aad.len)),
		external_aad,
		cml_bytes(head, cml_cbor_put_head(head, CML_CBOR_BYTES,
						  payload.len)),
		payload,
	};
	enum cml_status status = CML_INTERNAL;
	struct cml_sha256 *sha = NULL;

	status = cml_crypto_sha256_new(&sha);
	for (size_t i = 0; !status && i < sizeof(pieces) / sizeof(pieces[0]);
	     i++)
		status = cml_crypto_sha256_update(sha, pieces[i]);
	if (!status)
		status = cml_crypto_sha256_final(sha, digest);
	cml_crypto_sha256_free(sha);

	return status;
}

enum cml_status cml_cose_sign1(const struct cml_cose_signer *signer,
			       struct cml_bytes external_aad,
			       struct cml_bytes payload, uint8_t *out,
			       size_t *len)
{
	uint8_t digest[CML_SHA256_SIZE] = { 0 };
	enum cml_status status = CML_INTERNAL;
	uint8_t *at = out;

	if (external_aad.len > CML_COSE_MAX_AAD ||
	    payload.len > CML_COSE_MAX_CONTENT ||
	    signer->certificate.len > CML_COSE_MAX_CONTENT ||
	    cml_cose_sign1_size(signer, payload.len) > *len)
		return CML_INTERNAL;

	status = structure_digest(external_aad, payload, digest);
	if (status)
		return status;
	at = put_header(signer, at);
	at += cml_cbor_put_head(at, CML_CBOR_BYTES, payload.len);
	if (payload.len && payload.ptr != at)
		memcpy(at, payload.ptr, payload.len);
	at = put(at + payload.len, sig_begin, sizeof(sig_begin));
	status = cml_crypto_p256_sign(signer->key, digest, at);
	if (!status)
		*len = cml_cose_sign1_size(signer, payload.len);

	return status;
}
