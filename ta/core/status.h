// SPDX-License-Identifier: Apache-2.0
/*
 * What a core function says about its input. One list, from which the enum,
 * the names (cml_status_name), sandbox/tee_abi.py and docs/errors.md are
 * made or checked.
 *
 * CML_STATUS_LIST(X): X(name, value, sentence). Values are part of the ABI
 * (a TA returns TA_CML_ERROR_BASE + value): never renumber, only append.
 */
#ifndef CML_STATUS_H
#define CML_STATUS_H

#define CML_STATUS_LIST(X) \
	X(OK, 0, "success") \
	X(INTERNAL, 1, "a check that cannot fail failed: a bug") \
	X(NO_MEMORY, 2, "not enough secure memory") \
	X(BAD_STATE, 3, "command out of order for this session") \
	X(CRYPTO, 4, "the cryptographic implementation failed") \
	X(STORAGE, 5, "secure storage does not answer") \
	X(STORAGE_DAMAGED, 6, \
	  "secure storage was altered, or put back to an older state") \
	X(HEADER_MALFORMED, 10, "sealed file header is malformed") \
	X(HEADER_KIND, 11, "sealed file is of another kind than expected") \
	X(HEADER_LIMIT, 12, "sealed file announces a size over the limit") \
	X(KEY_MISSING, 20, "no key is provisioned in this slot") \
	X(KEY_REPLAYED, 23, \
	  "key message answers no open challenge of this session") \
	X(KEY_STORE_FULL, 24, "the device keeps as many keys as it can") \
	X(KEY_UNKNOWN, 25, "the device keeps no key of this id") \
	X(ENCRYPT_ABSENT, 26, "this build of the TA encrypts no models") \
	X(STREAM_HEADER, 30, "stream header is malformed") \
	X(STREAM_WRONG_KEY, 31, "sealed with another key than provisioned") \
	X(STREAM_CONTEXT, 32, \
	  "first segment is not authentic: other associated data, or altered") \
	X(STREAM_TRUNCATED, 33, "stream ends before its last segment") \
	X(STREAM_EXTENDED, 34, "data follows the last segment") \
	X(STREAM_REORDERED, 35, "segment is not in its place") \
	X(STREAM_SPLICED, 36, \
	  "segment does not belong to this stream, or was altered") \
	X(STREAM_LENGTH, 37, "plaintext length differs from the header") \
	X(MODEL_MALFORMED, 50, "model is not a well-formed TFLite flatbuffer") \
	X(MODEL_UNSUPPORTED_OP, 51, "model has an unsupported operator") \
	X(MODEL_UNSUPPORTED_TYPE, 52, \
	  "model has an unsupported tensor type or layout") \
	X(MODEL_SHAPE, 53, "tensor shapes of an operator do not fit") \
	X(MODEL_QUANTIZATION, 54, "quantisation parameters are not usable") \
	X(MODEL_LIMIT, 55, "model is over a limit of this build") \
	X(MODEL_NOT_DETECTOR, 56, \
	  "model inputs and outputs are not those of an SSD detector") \
	X(MODEL_MISSING, 57, "no model is loaded in this session") \
	X(MODEL_ROLLBACK, 58, \
	  "model is older than the vault's of this name, or not the same one") \
	X(MODEL_OTHER_FILE, 59, \
	  "sealed file is not the one that the vault keeps by this name") \
	X(MODEL_VAULT_FULL, 60, \
	  "the vault has no room for another model, or another removed one") \
	X(MODEL_UNKNOWN, 61, "the vault has no model of this name and key") \
	X(JPEG_CORRUPT, 70, "not a JPEG, or its data is corrupt") \
	X(JPEG_TRUNCATED, 71, "JPEG ends early") \
	X(JPEG_UNSUPPORTED, 72, \
	  "JPEG process or sample precision is not supported") \
	X(JPEG_COLORSPACE, 73, "CMYK and YCCK JPEGs are not supported") \
	X(JPEG_TOO_LARGE, 74, "JPEG is over a limit: pixels, side, scans") \
	X(JPEG_PROGRESSIVE_TOO_LARGE, 75, \
	  "progressive JPEG needs more secure memory than there is") \
	X(TENSORS_SIZE, 80, "tensors are not of the sizes that the model takes") \
	X(REQUEST_REPLAYED, 81, \
	  "request's number is not above that of an earlier one") \
	X(REQUEST_MODEL, 82, \
	  "request names another model than the one that is loaded") \
	X(RESULT_MISSING, 90, "no result is waiting in this session") \
	X(COSE_MALFORMED, 100, \
	  "COSE message is not well-formed or of another structure") \
	X(COSE_HEADER, 101, \
	  "COSE header parameter is missing, repeated, unknown or unusable") \
	X(COSE_ALGORITHM, 102, \
	  "COSE message uses another algorithm than expected") \
	X(COSE_KEY, 103, "COSE_Key is no public key of P-256") \
	X(COSE_RECIPIENT, 104, "COSE message is for another key") \
	X(COSE_UNWRAP, 105, \
	  "content key does not unwrap: it was altered, or is for another key") \
	X(COSE_OPEN, 106, \
	  "COSE content does not open: altered, or bound to something else") \
	X(COSE_LIMIT, 107, "COSE message is over a limit")

enum cml_status {
#define CML_STATUS_ENUM(name, value, sentence) CML_ ## name = (value),
	CML_STATUS_LIST(CML_STATUS_ENUM)
#undef CML_STATUS_ENUM
};

/* "STREAM_TRUNCATED" for CML_STREAM_TRUNCATED; "UNKNOWN" for no status. */
const char *cml_status_name(enum cml_status status);

#endif /* CML_STATUS_H */
