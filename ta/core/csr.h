// SPDX-License-Identifier: Apache-2.0
/*
 * Certification requests (PKCS#10, RFC 2986) for P-256 keys, signed with
 * ecdsa-with-SHA256 (RFC 5758).
 */
#ifndef CML_CSR_H
#define CML_CSR_H

#include "crypto.h"
#include "keys.h"

#define CML_UUID_SIZE		16
#define CML_CSR_MAX_SIZE	(400 + CML_LABEL_MAX_LEN)

/*
 * DER into @out. Subject: common name @label (printable ASCII), serial number
 * @device as UUIDs are written. @len: in, room; out, used. CML_INTERNAL: it
 * does not fit, which with CML_CSR_MAX_SIZE it does, or @label is unusable.
 */
enum cml_status cml_csr(struct cml_p256_key *key, struct cml_bytes label,
			const uint8_t device[CML_UUID_SIZE], uint8_t *out,
			size_t *len);

#endif /* CML_CSR_H */
