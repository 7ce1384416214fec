// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "hkdf.h"
#include "sealer.h"
#include "stream_place.h"

struct cml_sealer {
	const struct cml_allocator *allocator;
	cml_sealer_sink sink;
	void *sink_ctx;
	enum cml_status failure;

	struct cml_gcm *gcm;
	uint8_t nonce_prefix[CML_STREAM_NONCE_PREFIX_SIZE];

	/* What was announced, and what was pushed */
	uint64_t plaintext_len;
	uint64_t plain_done;

	/* The segment being collected; it is sealed in place */
	uint32_t segment;
	size_t len;
	uint8_t bytes[CML_STREAM_SEGMENT_SIZE];
};

/* length | salt | nonce prefix, and the segment key that follows from it */
static enum cml_status make_header(struct cml_sealer *sealer,
				   const uint8_t key[CML_AES256_KEY_SIZE],
				   struct cml_bytes associated,
				   uint8_t header[CML_STREAM_HEADER_SIZE])
{
	uint8_t segment_key[CML_AES256_KEY_SIZE] = { 0 };
	enum cml_status status = CML_INTERNAL;

	header[0] = CML_STREAM_HEADER_SIZE;
	status = cml_crypto_random(header + 1, CML_STREAM_HEADER_SIZE - 1);
	if (!status)
		status = cml_hkdf(cml_bytes(key, CML_AES256_KEY_SIZE),
				  cml_bytes(header + 1, CML_STREAM_SALT_SIZE),
				  associated, segment_key,
				  sizeof(segment_key));
	if (!status)
		status = cml_crypto_gcm_new(segment_key, &sealer->gcm);
	cml_wipe(segment_key, sizeof(segment_key));
	memcpy(sealer->nonce_prefix, header + 1 + CML_STREAM_SALT_SIZE,
	       sizeof(sealer->nonce_prefix));

	return status;
}

enum cml_status cml_sealer_new(const struct cml_allocator *allocator,
			       const uint8_t key[CML_AES256_KEY_SIZE],
			       struct cml_bytes associated,
			       uint64_t plaintext_len,
			       cml_sealer_sink sink, void *sink_ctx,
			       uint8_t header[CML_STREAM_HEADER_SIZE],
			       struct cml_sealer **sealer)
{
	enum cml_status status = CML_INTERNAL;
	struct cml_sealer *made = NULL;

	if (!plaintext_len || plaintext_len > UINT32_MAX)
		return CML_INTERNAL;
	made = allocator->alloc(allocator->ctx, sizeof(*made));
	if (!made)
		return CML_NO_MEMORY;
	made->allocator = allocator;
	made->sink = sink;
	made->sink_ctx = sink_ctx;
	made->plaintext_len = plaintext_len;
	status = make_header(made, key, associated, header);
	if (status) {
		cml_sealer_free(made);
		return status;
	}
	*sealer = made;

	return CML_OK;
}

/* Bytes of segments that are complete once @done bytes were pushed. */
static uint64_t sealed_size(const struct cml_sealer *sealer, uint64_t done)
{
	const uint32_t count = cml_stream_segment_count(sealer->plaintext_len);
	uint32_t complete = 0;

	if (done >= sealer->plaintext_len)
		return sealer->plaintext_len +
		       (uint64_t)count * CML_GCM_TAG_SIZE;
	complete = (done + CML_STREAM_HEADER_SIZE) / CML_STREAM_PLAIN_SIZE;
	if (!complete)
		return 0;

	return cml_stream_plain_end(complete - 1) +
	       (uint64_t)complete * CML_GCM_TAG_SIZE;
}

uint64_t cml_sealer_push_size(const struct cml_sealer *sealer, size_t len)
{
	return sealed_size(sealer, sealer->plain_done + len) -
	       sealed_size(sealer, sealer->plain_done);
}

static enum cml_status seal_segment(struct cml_sealer *sealer,
				    const struct cml_stream_place *place)
{
	uint8_t nonce[CML_GCM_NONCE_SIZE] = { 0 };
	enum cml_status status = CML_INTERNAL;

	cml_stream_nonce(sealer->nonce_prefix, place, nonce);
	status = cml_crypto_gcm_seal(sealer->gcm, nonce, cml_bytes(NULL, 0),
				     cml_bytes(sealer->bytes, sealer->len),
				     sealer->bytes);
	if (!status)
		status = sealer->sink(sealer->sink_ctx,
				      cml_bytes(sealer->bytes,
						place->sealed_len));
	sealer->segment++;
	sealer->len = 0;

	return status;
}

static enum cml_status push(struct cml_sealer *sealer, struct cml_bytes plain)
{
	struct cml_stream_place place = { 0 };
	enum cml_status status = CML_OK;
	size_t done = 0;
	size_t len = 0;

	if (plain.len > sealer->plaintext_len - sealer->plain_done)
		return CML_STREAM_LENGTH;
	while (!status && done < plain.len) {
		place = cml_stream_place(sealer->plaintext_len,
					 sealer->segment);
		len = place.sealed_len - CML_GCM_TAG_SIZE - sealer->len;
		if (len > plain.len - done)
			len = plain.len - done;
		memcpy(sealer->bytes + sealer->len, plain.ptr + done, len);
		sealer->len += len;
		sealer->plain_done += len;
		done += len;
		if (sealer->len == place.sealed_len - CML_GCM_TAG_SIZE)
			status = seal_segment(sealer, &place);
	}

	return status;
}

enum cml_status cml_sealer_push(struct cml_sealer *sealer,
				struct cml_bytes plain)
{
	if (!sealer->failure)
		sealer->failure = push(sealer, plain);

	return sealer->failure;
}

enum cml_status cml_sealer_finish(const struct cml_sealer *sealer)
{
	if (sealer->failure)
		return sealer->failure;

	return sealer->plain_done == sealer->plaintext_len ? CML_OK :
	       CML_STREAM_LENGTH;
}

void cml_sealer_free(struct cml_sealer *sealer)
{
	if (!sealer)
		return;
	cml_crypto_gcm_free(sealer->gcm);
	sealer->allocator->release(sealer->allocator->ctx, sealer,
				   sizeof(*sealer));
}
