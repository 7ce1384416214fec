// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <string.h>

#include "unix_socket.h"

int unix_socket(const char *path, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(address->sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(address->sun_path, path);

	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}
