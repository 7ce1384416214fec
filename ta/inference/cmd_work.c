// SPDX-License-Identifier: Apache-2.0
#include "cml_ta.h"
#include "session.h"

TEE_Result cml_cmd_work(struct cml_session *session, TEE_Param *params)
{
	const uint64_t limit_us = (uint64_t)params[0].value.a * 1000;
	const uint64_t begin = cml_session_clock(NULL);
	struct cml_board *board = NULL;
	struct cml_offer offer = { 0 };
	uint64_t tiles = 0;

	if (params[0].value.a > TA_CML_WORK_MAX_MS)
		return TEE_ERROR_BAD_PARAMETERS;
	board = cml_board_open(&session->memory, &session->board);
	if (!board)
		return cml_tee_result(CML_NO_MEMORY);
	do {
		if (cml_board_find(board, params[0].value.b, &offer))
			tiles += cml_helper_work(&session->memory,
						 &session->helper, &offer,
						 cml_session_clock);
	} while (cml_session_clock(NULL) - begin < limit_us);
	/* Nothing to do: others may want the memory of the model. */
	if (!tiles)
		cml_helper_drop(&session->memory, &session->helper);
	params[1].value.a = tiles < UINT32_MAX ? tiles : UINT32_MAX;
	params[1].value.b = 0;

	return TEE_SUCCESS;
}
