// SPDX-License-Identifier: Apache-2.0
/*
 * THE ABI between the client application (CA) and the inference TA.
 * sandbox/tee_abi.py mirrors it; tests/unit/test_abi.py compares the two.
 *
 * One session is one client. All state (keys, photo in flight, result) hangs
 * from the session and is wiped when it closes. The TA is multi-instance:
 * sessions run in parallel on several cores. What they share is models, each
 * of which is in memory once, until the last session that uses it is gone; and
 * the work on a photo, if the normal world calls sessions to it (WORK).
 *
 * Every memref that goes in is copied once into secure memory, then checked,
 * then used. A command whose parameter types differ from those given here
 * returns TEE_ERROR_BAD_PARAMETERS, one with a larger memref than allowed
 * TEE_ERROR_EXCESS_DATA. A command that fails leaves the session
 * usable: what was in flight for that command is dropped, keys and a loaded
 * model stay.
 *
 * Errors of the TA's own are TA_CML_ERROR_BASE + enum cml_status
 * (ta/core/status.h), in GlobalPlatform's range for implementation-specific
 * errors. docs/errors.md explains each.
 */
#ifndef CML_TA_H
#define CML_TA_H

/* 2f6a3c5e-9b1d-4e0f-8a67-c1d5b94e7720 */
#define TA_CML_UUID \
	{ 0x2f6a3c5e, 0x9b1d, 0x4e0f, \
	  { 0x8a, 0x67, 0xc1, 0xd5, 0xb9, 0x4e, 0x77, 0x20 } }

#define TA_CML_ABI_VERSION	4
/* That of the project (pyproject.toml) */
#define TA_CML_VERSION		"0.1.0"
#define TA_CML_ERROR_BASE	0x80c40000

/* Largest memref of MODEL_PUSH and INFER_PUSH, in bytes. */
#define TA_CML_PUSH_MAX_SIZE	(256 * 1024)

/*
 * INFO: who is there. Also the ping of `sandbox up`.
 * [out] memref[0]	CBOR map, at most TA_CML_INFO_MAX_SIZE bytes:
 *			"abi" uint, "version" tstr,
 *			"device" bstr (gpd.tee.deviceID), "cpu" [* tstr],
 *			"challenge" bstr (of the next key message),
 *			"data_key_id" bstr / null, "model_key_id" bstr / null,
 *			"model" {"name" tstr, "version" uint, "digest" bstr,
 *			"size" uint, "arena" uint, "tables" uint} / null,
 *			"memory" {"used" uint, "peak" uint} in bytes
 */
#define TA_CML_CMD_INFO			0
#define TA_CML_INFO_MAX_SIZE		1024

/*
 * PROVISION_KEY: unwrap a key into a slot of this session. A new data key
 * drops the photo in flight and a waiting result; a new model key drops the
 * model that is being loaded, and keeps the one that is. The slot "stored" is
 * not the session's: the device keeps that key over reboots, and MODEL_BEGIN and
 * MODEL_USE take it in any session for models that were sealed with it.
 * CML_KEY_STORE_FULL: there are TA_CML_STORED_KEYS_MAX_COUNT.
 * [in] value[0].a	enum cml_key_slot
 * [in] memref[1]	the session's challenge and COSE_Encrypt (key_message.h)
 * [out] memref[2]	the next challenge, TA_CML_CHALLENGE_SIZE bytes
 * CML_KEY_REPLAYED: it answers another challenge. CML_COSE_*.
 */
#define TA_CML_CMD_PROVISION_KEY	1
#define TA_CML_CHALLENGE_SIZE		16
#define TA_CML_KEY_MESSAGE_MAX_SIZE	(16 + 512)
#define TA_CML_STORED_KEYS_MAX_COUNT	16

/*
 * MODEL_BEGIN, MODEL_PUSH, MODEL_FINISH: load a sealed model. A BEGIN whose
 * header is good drops the model that was loaded. The new one becomes usable
 * at FINISH, when its last segment was authenticated and every part of it
 * checked. CML_MODEL_ROLLBACK: the vault has, or had, a higher version of this
 * name. CML_MODEL_OTHER_FILE: the key is the vault's, the file is not.
 * BEGIN	[in] memref[0]	sealed file header (header.h)
 * PUSH		[in] memref[0]	next bytes of the stream
 * FINISH	[out] memref[0]	SHA-256 of the model, 32 bytes
 */
#define TA_CML_CMD_MODEL_BEGIN		2
#define TA_CML_CMD_MODEL_PUSH		3
#define TA_CML_CMD_MODEL_FINISH		4

/*
 * MODEL_USE: use a model that another session has loaded from the same sealed
 * file. Needs its key, in this session or in the vault. CML_MODEL_MISSING:
 * nobody has; load it.
 * [in] memref[0]	sealed file header and stream header (stream.h), 112
 *			bytes: they tell the file from any other
 * [out] memref[1]	SHA-256 of the model, 32 bytes
 */
#define TA_CML_CMD_MODEL_USE		9
#define TA_CML_MODEL_SOURCE_SIZE	112

/*
 * INFER_BEGIN, INFER_PUSH, INFER_FINISH: one sealed photo, or tensors. BEGIN
 * drops the photo that was in flight, and a waiting result. FINISH runs the
 * network and keeps the sealed result until RESULT takes it. A request is for
 * one model (CML_REQUEST_MODEL: another is loaded) and is served once: its
 * number is above that of each request before under this data key
 * (CML_REQUEST_REPLAYED).
 * BEGIN	[in] memref[0]	sealed file header
 * PUSH		[in] memref[0]	next bytes of the stream
 * FINISH	[out] value[0].a	length of the sealed result
 */
#define TA_CML_CMD_INFER_BEGIN		5
#define TA_CML_CMD_INFER_PUSH		6
#define TA_CML_CMD_INFER_FINISH		7

/*
 * RESULT: the sealed result (result.h); it is dropped once it was copied out.
 * [out] memref[0]	TEE_ERROR_SHORT_BUFFER and the length needed when it
 *			does not fit
 */
#define TA_CML_CMD_RESULT		8

/*
 * WORK: help other sessions with their photos, on the core that this is called
 * on. Any session will do, with or without keys; the photo is right whether
 * anybody helps or not, and whether they come back or not. To be called while
 * an INFER_FINISH runs, by as many sessions as there are idle cores: more would
 * keep each other waiting. Returns after a time that the last tile may exceed.
 * [in] value[0].a	how long to look for work, 0 to TA_CML_WORK_MAX_MS
 * [in] value[0].b	where to begin, so that not all help the same photo
 * [out] value[1].a	tiles done; after none at all the session holds no model
 */
#define TA_CML_CMD_WORK			10
#define TA_CML_WORK_MAX_MS		1000

/*
 * ATTEST: evidence of this TA, this OP-TEE and this device, for a verifier.
 * [in] memref[0]	the verifier's nonce, TA_CML_NONCE_MIN_SIZE to
 *			TA_CML_NONCE_MAX_SIZE bytes
 * [out] memref[1]	EAT in COSE_Sign1 (docs/wire-formats.md), at most
 *			TA_CML_TOKEN_MAX_SIZE bytes
 */
#define TA_CML_CMD_ATTEST		11
#define TA_CML_NONCE_MIN_SIZE		8
#define TA_CML_NONCE_MAX_SIZE		64
#define TA_CML_TOKEN_MAX_SIZE		2048

/*
 * OWN_KEY: the public part of one of the TA's own keys; who has it from here
 * has the normal world's word for it, ATTEST gives proof.
 * OWN_KEY_CSR: a PKCS#10 request for a certificate, DER, for the signing key.
 * OWN_KEY_ROTATE: another key from now on, in sessions that are open too. What
 * was wrapped to the old one opens nowhere; what it signed stays signed, and
 * keys that it has opened stay in their sessions until those end.
 * OWN_KEY		[in] value[0].a	enum cml_identity_key
 *			[out] memref[1]	COSE_Key, 75 bytes
 * OWN_KEY_CSR		[in] value[0].a	enum cml_identity_key
 *			[out] memref[1]	at most TA_CML_CSR_MAX_SIZE bytes
 * OWN_KEY_ROTATE	[in] value[0].a	enum cml_identity_key
 *			[out] value[1]	how often it has been rotated: a low,
 *					b high 32 bits
 */
#define TA_CML_CMD_OWN_KEY		12
#define TA_CML_CMD_OWN_KEY_CSR		13
#define TA_CML_CMD_OWN_KEY_ROTATE	14
#define TA_CML_CSR_MAX_SIZE		512

/*
 * The vault: models that the device keeps over reboots. In it are their keys,
 * and what tells their sealed files from all others; the files themselves are
 * the normal world's to keep. A model belongs to the key that it is sealed
 * with, and is called by its name. Whoever may call the TA may use what is in
 * the vault: MODEL_BEGIN and MODEL_USE take a model's key from there when the
 * session has not got it.
 *
 * MODEL_STORE: the model that is loaded goes into the vault, in the place of
 * the one of its name; its key has to be in this session. CML_MODEL_ROLLBACK
 * if a higher version is there, or was; or the same with other content.
 * MODEL_LIST:
 * [out] memref[0]	CBOR map, at most TA_CML_MODEL_LIST_MAX_SIZE bytes:
 *			"vault" bstr of 8 bytes, what is the same for the same
 *			code of the TA;
 *			"models" [* {"name" tstr, "version" uint,
 *			"digest" bstr, "size" uint, "active" bool,
 *			"key_id" bstr, "file" bstr}], the latter being the
 *			32 bytes of salt of the sealed file's stream
 * MODEL_REMOVE, MODEL_ACTIVATE: of the session's model key, the model of this
 * name. No version of it below the removed one comes back.
 * [in] memref[0]	the name, 1 to TA_CML_MODEL_NAME_MAX_SIZE bytes
 */
#define TA_CML_CMD_MODEL_STORE		15
#define TA_CML_CMD_MODEL_LIST		16
#define TA_CML_CMD_MODEL_REMOVE		17
#define TA_CML_CMD_MODEL_ACTIVATE	18
#define TA_CML_MODEL_LIST_MAX_SIZE	4096
#define TA_CML_MODEL_NAME_MAX_SIZE	32

/*
 * Keys that the device keeps (PROVISION_KEY). Whoever may call the TA may use,
 * list and remove them; nobody can read them.
 * KEY_LIST	[out] memref[0]	CBOR map {"keys" [* bstr]}, key ids, at most
 *				TA_CML_KEY_LIST_MAX_SIZE bytes
 * KEY_REMOVE	[in] memref[0]	a key id, 16 bytes. CML_KEY_UNKNOWN
 */
#define TA_CML_CMD_KEY_LIST		19
#define TA_CML_CMD_KEY_REMOVE		20
#define TA_CML_KEY_LIST_MAX_SIZE	512

/*
 * MODEL_DESCRIBE: of the model that is loaded: digest, inputs, and the sealed
 * file that it came in, for who has this file and not its key.
 * [out] memref[0]	COSE_Sign1 by the signing key (docs/wire-formats.md), at
 *			most TA_CML_DESCRIPTION_MAX_SIZE bytes
 */
#define TA_CML_CMD_MODEL_DESCRIBE	21
#define TA_CML_DESCRIPTION_MAX_SIZE	3072

/*
 * ENCRYPT_BEGIN, ENCRYPT_PUSH, ENCRYPT_FINISH: seal a model that the caller has
 * in the clear, under a key that the device keeps. Only in builds with
 * CFG_CML_ENCRYPT_MODEL=y; all others say CML_ENCRYPT_ABSENT. CML_KEY_UNKNOWN.
 * CML_STREAM_LENGTH: the header announced another length.
 * BEGIN	[in] memref[0]	sealed file header (header.h) of a model
 *		[out] memref[1]	stream header (stream.h), 40 bytes
 * PUSH		[in] memref[0]	next bytes of the model
 *		[out] memref[1]	next bytes of the stream, which may be none;
 *				TEE_ERROR_SHORT_BUFFER, and the length needed,
 *				when they would not fit: nothing was taken then
 * FINISH	nothing is in flight any more; everything came out before
 */
#define TA_CML_CMD_ENCRYPT_BEGIN	22
#define TA_CML_CMD_ENCRYPT_PUSH		23
#define TA_CML_CMD_ENCRYPT_FINISH	24

#endif /* CML_TA_H */
