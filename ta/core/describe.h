// SPDX-License-Identifier: Apache-2.0
/*
 * What a loaded model takes, for who has its sealed file and not its key: CBOR,
 * which the TA signs. docs/wire-formats.md has the CDDL, "Model description".
 */
#ifndef CML_DESCRIBE_H
#define CML_DESCRIBE_H

#include "crypto.h"
#include "nn/graph.h"

/*
 * @source: header and stream header of the sealed file that it came in.
 * @digest: of the model. @len: in, room; out, used. CML_MODEL_LIMIT when it does
 * not fit.
 */
enum cml_status cml_describe_encode(const struct cml_graph *graph,
				    struct cml_bytes source,
				    const uint8_t digest[CML_SHA256_SIZE],
				    uint8_t *out, size_t *len);

#endif /* CML_DESCRIBE_H */
