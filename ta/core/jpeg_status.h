// SPDX-License-Identifier: Apache-2.0
/* libjpeg's error codes in our terms. */
#ifndef CML_JPEG_STATUS_H
#define CML_JPEG_STATUS_H

#include "status.h"

/* @msg_code: of an error, not a warning. Never CML_OK. */
enum cml_status cml_jpeg_status(int msg_code);

#endif /* CML_JPEG_STATUS_H */
