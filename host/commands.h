// SPDX-License-Identifier: Apache-2.0
/* One verb a file. Each returns the program's exit status. */
#ifndef CML_COMMANDS_H
#define CML_COMMANDS_H

#define EXIT_USAGE 2

struct options {
	const char *socket;
	const char *share;
	const char *vault;
};

int cmd_call(const struct options *options);
int cmd_info(const struct options *options);
int cmd_serve(const struct options *options);

#endif /* CML_COMMANDS_H */
