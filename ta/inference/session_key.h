// SPDX-License-Identifier: Apache-2.0
/* An owner's key in a session. */
#ifndef CML_SESSION_KEY_H
#define CML_SESSION_KEY_H

#include "header.h"

struct cml_session_key {
	bool present;
	uint64_t sequence;	/* data key: of the last request, 0 none */
	uint8_t key[CML_AES256_KEY_SIZE];
	uint8_t id[CML_KEY_ID_SIZE];
};

#endif /* CML_SESSION_KEY_H */
