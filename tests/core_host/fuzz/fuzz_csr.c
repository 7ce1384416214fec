// SPDX-License-Identifier: Apache-2.0
/*
 * Certification requests for any key, device and label: a scalar, a UUID, and
 * the rest. What is made is one DER structure to OpenSSL, with a good
 * signature by that key and these names; and it is made if, and only if, the
 * label is printable and the scalar a key.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/x509.h>

#include "crypto_openssl.h"
#include "csr.h"

#define ROOM_STEP	97

static void check_name(X509_REQ *request, int nid, const char *text, size_t len)
{
	X509_NAME *subject = X509_REQ_get_subject_name(request);
	const int at = X509_NAME_get_index_by_NID(subject, nid, -1);
	const ASN1_STRING *found = NULL;

	if (at < 0 || X509_NAME_entry_count(subject) != 2)
		abort();
	found = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
	if ((size_t)ASN1_STRING_length(found) != len ||
	    memcmp(ASN1_STRING_get0_data(found), text, len))
		abort();
}

static void check_key(X509_REQ *request,
		      const uint8_t point[CML_P256_POINT_SIZE])
{
	EVP_PKEY *key = X509_REQ_get_pubkey(request);
	uint8_t *encoded = NULL;

	if (!key || X509_REQ_verify(request, key) != 1 ||
	    EVP_PKEY_get1_encoded_public_key(key, &encoded) !=
	    CML_P256_POINT_SIZE ||
	    memcmp(encoded, point, CML_P256_POINT_SIZE))
		abort();
	OPENSSL_free(encoded);
	EVP_PKEY_free(key);
}

static void uuid_text(const uint8_t *uuid, char text[37])
{
	const size_t sizes[] = { 4, 2, 2, 2, 6 };
	char *at = text;

	for (size_t i = 0; i < 5; i++) {
		if (i)
			*at++ = '-';
		for (size_t n = 0; n < sizes[i]; n++)
			at += sprintf(at, "%02x", *uuid++);
	}
}

static bool is_label(struct cml_bytes label)
{
	for (size_t i = 0; i < label.len; i++)
		if (label.ptr[i] < 0x20 || label.ptr[i] > 0x7e)
			return false;

	return label.len >= 1 && label.len <= 64;
}

/* @room as large as it has to be, or less: then nothing but what fits. */
static void check(struct cml_p256_key *key, struct cml_bytes label,
		  const uint8_t *device, size_t room)
{
	uint8_t point[CML_P256_POINT_SIZE] = { 0 };
	uint8_t *der = malloc(room ? room : 1);
	enum cml_status status = CML_INTERNAL;
	X509_REQ *request = NULL;
	const uint8_t *end = der;
	char uuid[37] = "";
	size_t len = room;

	if (!der)
		abort();
	status = cml_csr(key, label, device, der, &len);
	if (status) {
		if (status != CML_INTERNAL ||
		    (is_label(label) && room == CML_CSR_MAX_SIZE))
			abort();
		goto out;
	}
	if (!is_label(label) || len > room ||
	    cml_crypto_p256_public(key, point))
		abort();
	request = d2i_X509_REQ(NULL, &end, len);
	if (!request || end != der + len)
		abort();
	uuid_text(device, uuid);
	check_name(request, NID_commonName, (const char *)label.ptr, label.len);
	check_name(request, NID_serialNumber, uuid, 36);
	check_key(request, point);
out:
	X509_REQ_free(request);
	free(der);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const size_t head = CML_P256_SCALAR_SIZE + CML_UUID_SIZE;
	struct cml_p256_key *key = NULL;

	if (size < head ||
	    cml_crypto_p256_new(data, CML_P256_SIGN, &key))
		return 0;
	check(key, cml_bytes(data + head, size - head),
	      data + CML_P256_SCALAR_SIZE, CML_CSR_MAX_SIZE);
	check(key, cml_bytes(data + head, size - head),
	      data + CML_P256_SCALAR_SIZE, data[0] * ROOM_STEP %
	      CML_CSR_MAX_SIZE);
	cml_crypto_p256_free(key);

	return 0;
}
