// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "hkdf.h"
#include "stream.h"
#include "stream_place.h"

#define PLAIN_SIZE		CML_STREAM_PLAIN_SIZE
#define FIRST_SEGMENT_SIZE	(CML_STREAM_SEGMENT_SIZE - \
				 CML_STREAM_HEADER_SIZE)

enum stream_state {
	STREAM_READS_HEADER,
	STREAM_READS_SEGMENTS,
	STREAM_COMPLETE,
	STREAM_FAILED,
};

struct cml_stream {
	const struct cml_allocator *allocator;
	cml_stream_sink sink;
	void *sink_ctx;

	enum stream_state state;
	enum cml_status failure;

	struct cml_sha256 *sha;
	struct cml_gcm *gcm;
	uint8_t nonce_prefix[CML_STREAM_NONCE_PREFIX_SIZE];

	/* What the sealed file's header announced, and what reached the sink */
	uint64_t plaintext_len;
	uint64_t plain_done;

	/* The segment being collected, or the header */
	uint32_t segment;
	size_t sealed_len;
	uint8_t sealed[CML_STREAM_SEGMENT_SIZE];
	uint8_t plain[PLAIN_SIZE];

	uint8_t key[CML_AES256_KEY_SIZE];	/* until the header is read */
	size_t associated_len;
	uint8_t associated[];
};

static struct cml_stream_place place_of(const struct cml_stream *stream,
					uint32_t index)
{
	return cml_stream_place(stream->plaintext_len, index);
}

/* Opens the first @sealed_len collected bytes into stream->plain. */
static enum cml_status open_as(struct cml_stream *stream,
			       struct cml_stream_place place)
{
	uint8_t nonce[CML_GCM_NONCE_SIZE] = { 0 };

	cml_stream_nonce(stream->nonce_prefix, &place, nonce);

	return cml_crypto_gcm_open(stream->gcm, nonce, cml_bytes(NULL, 0),
				   cml_bytes(stream->sealed, place.sealed_len),
				   stream->plain);
}

/* Do the bytes at hand begin with the segment that belongs at @index? */
static bool begins_with(struct cml_stream *stream, uint32_t index)
{
	struct cml_stream_place place = place_of(stream, index);
	bool opens = place.sealed_len <= stream->sealed_len &&
		     !open_as(stream, place);

	cml_wipe(stream->plain, sizeof(stream->plain));

	return opens;
}

/* Why the segment at hand did not open. @ended: no byte follows it. */
static enum cml_status diagnose(struct cml_stream *stream, bool ended)
{
	uint32_t count = cml_stream_segment_count(stream->plaintext_len);
	uint64_t expected = 0;
	uint64_t received = 0;

	/* Its number is right, so it is its end that is wrong. */
	if (stream->segment < count && begins_with(stream, stream->segment)) {
		if (place_of(stream, stream->segment).last)
			return CML_STREAM_EXTENDED;
		if (ended)
			return CML_STREAM_TRUNCATED;
		/* It was opened so already, and failed. */
		return CML_INTERNAL;
	}

	/* The header that numbers are tried for is authentic only after 0. */
	for (uint32_t i = 0; stream->segment && i < count; i++)
		if (i != stream->segment && begins_with(stream, i))
			return CML_STREAM_REORDERED;

	expected = stream->plaintext_len + CML_STREAM_HEADER_SIZE +
		   (uint64_t)count * CML_GCM_TAG_SIZE;
	received = (uint64_t)stream->segment * CML_STREAM_SEGMENT_SIZE +
		   stream->sealed_len +
		   (stream->segment ? 0 : CML_STREAM_HEADER_SIZE);
	if (ended && received < expected)
		return CML_STREAM_TRUNCATED;
	if (!stream->segment)
		return CML_STREAM_CONTEXT;

	return CML_STREAM_SPLICED;
}

/* The segment at hand is complete: authenticate it, pass it on. */
static enum cml_status take_segment(struct cml_stream *stream, bool last)
{
	struct cml_stream_place place = {
		.index = stream->segment,
		.last = last,
		.sealed_len = stream->sealed_len,
	};
	enum cml_status status = CML_INTERNAL;
	size_t plain_len = 0;
	uint64_t left = 0;

	status = cml_crypto_sha256_update(stream->sha,
					  cml_bytes(stream->sealed,
						    stream->sealed_len));
	if (status)
		return status;
	if (stream->sealed_len < CML_GCM_TAG_SIZE)
		return CML_STREAM_TRUNCATED;

	status = open_as(stream, place);
	if (status == CML_CRYPTO)
		status = diagnose(stream, last);
	if (status)
		return status;

	plain_len = stream->sealed_len - CML_GCM_TAG_SIZE;
	left = stream->plaintext_len - stream->plain_done;
	if (plain_len > left || (last && plain_len < left))
		return CML_STREAM_LENGTH;
	if (plain_len)
		status = stream->sink(stream->sink_ctx,
				      cml_bytes(stream->plain, plain_len));
	stream->plain_done += plain_len;
	stream->sealed_len = 0;
	stream->segment++;

	return status;
}

static enum cml_status take_header(struct cml_stream *stream)
{
	struct cml_cursor cur = cml_cursor(cml_bytes(stream->sealed,
						     CML_STREAM_HEADER_SIZE));
	uint8_t segment_key[CML_AES256_KEY_SIZE] = { 0 };
	enum cml_status status = CML_INTERNAL;
	struct cml_bytes prefix = { 0 };
	struct cml_bytes salt = { 0 };

	if (cml_cursor_u8(&cur) != CML_STREAM_HEADER_SIZE)
		return CML_STREAM_HEADER;
	salt = cml_cursor_take(&cur, CML_STREAM_SALT_SIZE);
	prefix = cml_cursor_take(&cur, CML_STREAM_NONCE_PREFIX_SIZE);
	if (!cml_cursor_ok(&cur) || cml_cursor_remaining(&cur))
		return CML_INTERNAL;
	memcpy(stream->nonce_prefix, prefix.ptr, prefix.len);

	status = cml_crypto_sha256_update(stream->sha, cur.bytes);
	if (!status)
		status = cml_hkdf(cml_bytes(stream->key, sizeof(stream->key)),
				  salt,
				  cml_bytes(stream->associated,
					    stream->associated_len),
				  segment_key, sizeof(segment_key));
	if (!status)
		status = cml_crypto_gcm_new(segment_key, &stream->gcm);
	cml_wipe(segment_key, sizeof(segment_key));
	cml_wipe(stream->key, sizeof(stream->key));
	stream->sealed_len = 0;
	stream->state = STREAM_READS_SEGMENTS;

	return status;
}

static size_t stream_size(size_t associated_len)
{
	return sizeof(struct cml_stream) + associated_len;
}

enum cml_status cml_stream_new(const struct cml_allocator *allocator,
			       const uint8_t key[CML_AES256_KEY_SIZE],
			       struct cml_bytes associated,
			       uint64_t plaintext_len,
			       cml_stream_sink sink, void *sink_ctx,
			       struct cml_stream **stream)
{
	enum cml_status status = CML_INTERNAL;
	struct cml_stream *made = NULL;

	if (!plaintext_len || plaintext_len > UINT32_MAX)
		return CML_INTERNAL;
	made = allocator->alloc(allocator->ctx, stream_size(associated.len));
	if (!made)
		return CML_NO_MEMORY;
	made->allocator = allocator;
	made->sink = sink;
	made->sink_ctx = sink_ctx;
	made->plaintext_len = plaintext_len;
	made->associated_len = associated.len;
	memcpy(made->key, key, sizeof(made->key));
	if (associated.len)
		memcpy(made->associated, associated.ptr, associated.len);

	status = cml_crypto_sha256_new(&made->sha);
	if (!status)
		status = cml_crypto_sha256_update(made->sha, associated);
	if (status) {
		cml_stream_free(made);
		return status;
	}
	*stream = made;

	return CML_OK;
}

static enum cml_status fail(struct cml_stream *stream, enum cml_status status)
{
	if (status) {
		stream->state = STREAM_FAILED;
		stream->failure = status;
	}

	return status;
}

/* Bytes that the header or segment at hand may have at most. */
static size_t room(const struct cml_stream *stream)
{
	if (stream->state == STREAM_READS_HEADER)
		return CML_STREAM_HEADER_SIZE;

	return stream->segment ? CML_STREAM_SEGMENT_SIZE : FIRST_SEGMENT_SIZE;
}

enum cml_status cml_stream_push(struct cml_stream *stream,
				struct cml_bytes sealed)
{
	enum cml_status status = CML_OK;
	size_t done = 0;
	size_t len = 0;

	if (stream->state == STREAM_FAILED)
		return stream->failure;
	if (stream->state == STREAM_COMPLETE)
		return CML_BAD_STATE;

	while (done < sealed.len) {
		/* A full segment that more data follows is not the last. */
		if (stream->state == STREAM_READS_SEGMENTS &&
		    stream->sealed_len == room(stream)) {
			status = fail(stream, take_segment(stream, false));
			if (status)
				return status;
		}
		len = room(stream) - stream->sealed_len;
		if (len > sealed.len - done)
			len = sealed.len - done;
		memcpy(stream->sealed + stream->sealed_len, sealed.ptr + done,
		       len);
		stream->sealed_len += len;
		done += len;
		if (stream->state == STREAM_READS_HEADER &&
		    stream->sealed_len == room(stream)) {
			status = fail(stream, take_header(stream));
			if (status)
				return status;
		}
	}

	return CML_OK;
}

enum cml_status cml_stream_finish(struct cml_stream *stream)
{
	enum cml_status status = CML_INTERNAL;

	switch (stream->state) {
	case STREAM_FAILED:
		return stream->failure;
	case STREAM_COMPLETE:
		return CML_BAD_STATE;
	case STREAM_READS_HEADER:
		return fail(stream, CML_STREAM_TRUNCATED);
	case STREAM_READS_SEGMENTS:
		break;
	}

	status = fail(stream, take_segment(stream, true));
	if (!status)
		stream->state = STREAM_COMPLETE;

	return status;
}

enum cml_status cml_stream_digest(struct cml_stream *stream,
				  uint8_t digest[CML_SHA256_SIZE])
{
	enum cml_status status = CML_INTERNAL;

	if (stream->state != STREAM_COMPLETE || !stream->sha)
		return CML_BAD_STATE;
	status = cml_crypto_sha256_final(stream->sha, digest);
	cml_crypto_sha256_free(stream->sha);
	stream->sha = NULL;

	return status;
}

void cml_stream_free(struct cml_stream *stream)
{
	if (!stream)
		return;
	cml_crypto_sha256_free(stream->sha);
	cml_crypto_gcm_free(stream->gcm);
	stream->allocator->release(stream->allocator->ctx, stream,
				   stream_size(stream->associated_len));
}
