// SPDX-License-Identifier: Apache-2.0
/*
 * CertificationRequest ::= SEQUENCE {
 *   SEQUENCE {                                  certificationRequestInfo
 *     INTEGER 0,
 *     SEQUENCE { SET { commonName }, SET { serialNumber } },
 *     SubjectPublicKeyInfo,
 *     [0] {} },                                 attributes: none
 *   SEQUENCE { ecdsa-with-SHA256 },
 *   BIT STRING { SEQUENCE { INTEGER r, INTEGER s } } }
 *
 * DER is written from its end to its beginning: a length is known when its
 * content has been written.
 */
#include <string.h>

#include "csr.h"

/* X.690 */
#define INTEGER			0x02
#define BIT_STRING		0x03
#define UTF8_STRING		0x0c
#define PRINTABLE_STRING	0x13
#define SEQUENCE		0x30
#define SET			0x31

#define UUID_TEXT_LEN		36

/* OBJECT IDENTIFIERs: 2.5.4.3, 2.5.4.5, 1.2.840.10045.4.3.2 */
static const uint8_t common_name[] = { 0x06, 0x03, 0x55, 0x04, 0x03 };
static const uint8_t serial_number[] = { 0x06, 0x03, 0x55, 0x04, 0x05 };
static const uint8_t ecdsa_with_sha256[] = {
	0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02,
};

/* SubjectPublicKeyInfo (RFC 5480) of P-256, up to the point */
static const uint8_t public_key_begin[] = {
	0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
	0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03,
	0x42, 0x00,
};

static const uint8_t version_0[] = { INTEGER, 0x01, 0x00 };
static const uint8_t no_attributes[] = { 0xa0, 0x00 };

struct der {
	uint8_t *begin;
	uint8_t *at;	/* what is written begins here */
	bool bad;	/* it did not fit */
};

static void put(struct der *der, const void *bytes, size_t len)
{
	if (der->bad || len > (size_t)(der->at - der->begin)) {
		der->bad = true;
		return;
	}
	der->at -= len;
	memcpy(der->at, bytes, len);
}

/* The head of what was written since @end. */
static void put_head(struct der *der, uint8_t tag, const uint8_t *end)
{
	size_t len = end - der->at;
	uint8_t head[4] = { tag, len };
	size_t head_len = 2;

	if (len > UINT16_MAX) {
		der->bad = true;
		return;
	}
	if (len > UINT8_MAX) {
		head[1] = 0x82;
		head[2] = len >> 8;
		head[3] = len;
		head_len = 4;
	} else if (len > 0x7f) {
		head[1] = 0x81;
		head[2] = len;
		head_len = 3;
	}
	put(der, head, head_len);
}

/* A number of 32 bytes, big endian, not negative */
static void put_number(struct der *der, const uint8_t *number)
{
	const uint8_t *end = der->at;
	size_t skip = 0;

	while (skip < CML_P256_SCALAR_SIZE - 1 && !number[skip])
		skip++;
	put(der, number + skip, CML_P256_SCALAR_SIZE - skip);
	if (number[skip] & 0x80)
		put(der, "", 1);
	put_head(der, INTEGER, end);
}

/* One RelativeDistinguishedName */
static void put_name(struct der *der, const uint8_t *type, size_t type_len,
		     uint8_t tag, struct cml_bytes text)
{
	const uint8_t *end = der->at;

	put(der, text.ptr, text.len);
	put_head(der, tag, end);
	put(der, type, type_len);
	put_head(der, SEQUENCE, end);
	put_head(der, SET, end);
}

static void uuid_text(const uint8_t uuid[CML_UUID_SIZE],
		      char text[UUID_TEXT_LEN])
{
	static const char digits[] = "0123456789abcdef";
	size_t at = 0;

	for (size_t i = 0; i < CML_UUID_SIZE; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			text[at++] = '-';
		text[at++] = digits[uuid[i] >> 4];
		text[at++] = digits[uuid[i] & 0xf];
	}
}

static void put_info(struct der *der, struct cml_bytes label,
		     const char device[UUID_TEXT_LEN],
		     const uint8_t point[CML_P256_POINT_SIZE])
{
	const uint8_t *end = der->at;
	const uint8_t *subject_end = NULL;

	put(der, no_attributes, sizeof(no_attributes));
	put(der, point, CML_P256_POINT_SIZE);
	put(der, public_key_begin, sizeof(public_key_begin));
	subject_end = der->at;
	put_name(der, serial_number, sizeof(serial_number), PRINTABLE_STRING,
		 cml_bytes(device, UUID_TEXT_LEN));
	put_name(der, common_name, sizeof(common_name), UTF8_STRING, label);
	put_head(der, SEQUENCE, subject_end);
	put(der, version_0, sizeof(version_0));
	put_head(der, SEQUENCE, end);
}

static enum cml_status sign(struct cml_p256_key *key, struct cml_bytes info,
			    uint8_t sig[CML_P256_SIGNATURE_SIZE])
{
	uint8_t digest[CML_SHA256_SIZE] = { 0 };
	enum cml_status status = CML_INTERNAL;
	struct cml_sha256 *sha = NULL;

	status = cml_crypto_sha256_new(&sha);
	if (!status)
		status = cml_crypto_sha256_update(sha, info);
	if (!status)
		status = cml_crypto_sha256_final(sha, digest);
	cml_crypto_sha256_free(sha);
	if (!status)
		status = cml_crypto_p256_sign(key, digest, sig);

	return status;
}

static void put_signature(struct der *der,
			  const uint8_t sig[CML_P256_SIGNATURE_SIZE])
{
	const uint8_t *end = der->at;

	put_number(der, sig + CML_P256_SCALAR_SIZE);
	put_number(der, sig);
	put_head(der, SEQUENCE, end);
	put(der, "", 1); /* all bits are used */
	put_head(der, BIT_STRING, end);
}

static bool printable(struct cml_bytes label)
{
	for (size_t i = 0; i < label.len; i++)
		if (label.ptr[i] < ' ' || label.ptr[i] > '~')
			return false;

	return label.len && label.len <= CML_LABEL_MAX_LEN;
}

/* Stack: 0.8 KiB */
enum cml_status cml_csr(struct cml_p256_key *key, struct cml_bytes label,
			const uint8_t device[CML_UUID_SIZE], uint8_t *out,
			size_t *len)
{
	uint8_t info_bytes[CML_CSR_MAX_SIZE] = { 0 };
	struct der info = {
		.begin = info_bytes, .at = info_bytes + sizeof(info_bytes),
	};
	const uint8_t *info_end = info.at;
	struct der der = { .begin = out, .at = out + *len };
	const uint8_t *end = der.at;
	uint8_t sig[CML_P256_SIGNATURE_SIZE] = { 0 };
	uint8_t point[CML_P256_POINT_SIZE] = { 0 };
	char device_text[UUID_TEXT_LEN] = { 0 };
	enum cml_status status = CML_INTERNAL;
	const uint8_t *algorithm_end = NULL;

	if (!printable(label))
		return CML_INTERNAL;
	uuid_text(device, device_text);
	status = cml_crypto_p256_public(key, point);
	if (status)
		return status;
	put_info(&info, label, device_text, point);
	if (info.bad)
		return CML_INTERNAL;
	status = sign(key, cml_bytes(info.at, info_end - info.at), sig);
	if (status)
		return status;

	put_signature(&der, sig);
	algorithm_end = der.at;
	put(&der, ecdsa_with_sha256, sizeof(ecdsa_with_sha256));
	put_head(&der, SEQUENCE, algorithm_end);
	put(&der, info.at, info_end - info.at);
	put_head(&der, SEQUENCE, end);
	if (der.bad)
		return CML_INTERNAL;
	*len = end - der.at;
	memmove(out, der.at, *len);

	return CML_OK;
}
