// SPDX-License-Identifier: Apache-2.0
#include "status.h"

const char *cml_status_name(enum cml_status status)
{
	switch (status) {
#define CML_STATUS_NAME(name, value, sentence) \
	case CML_ ## name: \
		return #name;
	CML_STATUS_LIST(CML_STATUS_NAME)
#undef CML_STATUS_NAME
	}

	return "UNKNOWN";
}
