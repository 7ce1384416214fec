// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>

#include "cbor_json.h"
#include "cml_ta.h"
#include "commands.h"
#include "names.h"
#include "tee_client.h"

static int report(const struct tee_error *error)
{
	fprintf(stderr, "cml-ca: %s: %s (0x%08x) from %s\n", error->command,
		result_name(error->code), error->code,
		origin_name(error->origin));

	return EXIT_FAILURE;
}

int cmd_info(const struct options *options)
{
	struct tee_session *session = NULL;
	struct tee_error error = { 0 };
	struct text text = { 0 };
	bool understood = false;
	size_t len = 0;

	(void)options;
	if (!tee_session_open(&session, 0, &error))
		return report(&error);
	if (!tee_get(session, TA_CML_CMD_INFO, &len, &error)) {
		tee_session_close(session);
		return report(&error);
	}
	understood = len <= tee_session_buffer_size() &&
		     cbor_json_members(&text, tee_session_buffer(session),
				       len);
	tee_session_close(session);
	if (!understood) {
		fprintf(stderr, "cml-ca: INFO makes no sense\n");
		return EXIT_FAILURE;
	}
	printf("{%.*s}\n", (int)text.len, text.data);

	return EXIT_SUCCESS;
}
