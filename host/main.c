// SPDX-License-Identifier: Apache-2.0
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cml_ta.h"
#include "commands.h"
#include "vault.h"

static const char help[] =
"Usage: cml-ca [OPTION]... COMMAND\n"
"The normal world's client of the inference TA. It carries sealed files to the\n"
"TA and sealed results back, and can open neither.\n"
"\n"
"Commands:\n"
"  info    print as JSON what the TA says about itself\n"
"  serve   keep TA sessions open and take requests on a socket\n"
"  call    carry requests from standard input to the service, and its replies\n"
"          to standard output\n"
"\n"
"Options:\n"
"      --socket=PATH   the service's socket (/run/cml-ca.sock)\n"
"      --share=DIR     the folder whose files may be named (/mnt/share)\n"
"      --vault=DIR     where sealed models of the TA's vault are kept\n"
"                      (" VAULT_DEFAULT_PATH ")\n"
"      --help          print this and exit\n"
"      --version       print the version and exit\n"
"\n"
"Requests, one a line, words separated by a space; each is answered by one line\n"
"of JSON, {\"ok\":true,...} or {\"ok\":false,\"error\":NAME,\"message\":...}:\n"
"  attach NAME         use the session NAME, opened if there is none; waits while\n"
"                      another connection uses it; answers as info does\n"
"  attest NONCE        evidence of the TA over this nonce, in hexadecimal\n"
"  key data FILE       unwrap a data owner's key into the session; answers with the\n"
"                      challenge that the next one has to answer\n"
"  key model FILE      the same for a model owner's key\n"
"  key stored FILE     the same for one that the device keeps\n"
"  keys                ids of the keys that the device keeps\n"
"  forget KEYID        keep this one no more\n"
"  own-key NAME        the public part of the TA's key \"wrapping\" or \"signing\"\n"
"  csr signing         a request for a certificate of that key\n"
"  rotate NAME         another key of that name, from now on\n"
"  model FILE          load a sealed model\n"
"  store FILE          load a sealed model, and keep it in the vault with its key,\n"
"                      in the place of the one of its name\n"
"  describe            what the loaded model takes, signed by the TA\n"
"  encrypt FILE OUT    a header and a model: sealed under the key that the header\n"
"                      names, by a TA that was built for it\n"
"  models              what is in the vault\n"
"  vault FILE          load a model of the vault by its \"file\"\n"
"  remove NAME         take a model out of the vault; its key is in this session\n"
"  activate NAME       make it the active one of those with its key\n"
"  workers COUNT       how many cores may work on a photo of this connection's;\n"
"                      0: all\n"
"  infer FILE RESULT   run a sealed photo or sealed tensors, write the sealed result\n"
"  info                what the TA says about this session\n"
"  detach              use it no more; it stays open\n"
"  close NAME          close a session, and forget its keys and model\n"
"Sessions that no connection uses are closed, oldest first, when the TEE is out\n"
"of secure memory.\n"
"\n"
"Exit status: 0 done, 1 failed, 2 wrong usage.\n";

enum { OPTION_HELP = 256, OPTION_VERSION, OPTION_SOCKET, OPTION_SHARE,
       OPTION_VAULT };

static const struct option long_options[] = {
	{ "help", no_argument, NULL, OPTION_HELP },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ "socket", required_argument, NULL, OPTION_SOCKET },
	{ "share", required_argument, NULL, OPTION_SHARE },
	{ "vault", required_argument, NULL, OPTION_VAULT },
	{ NULL, 0, NULL, 0 },
};

static const struct {
	const char *name;
	int (*run)(const struct options *options);
} commands[] = {
	{ "call", cmd_call },
	{ "info", cmd_info },
	{ "serve", cmd_serve },
};

static int usage(const char *message, const char *word)
{
	fprintf(stderr, "cml-ca: %s%s\nTry 'cml-ca --help'.\n", message, word);

	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	struct options options = {
		.socket = "/run/cml-ca.sock",
		.share = "/mnt/share",
		.vault = VAULT_DEFAULT_PATH,
	};
	int option = 0;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) >= 0)
		switch (option) {
		case OPTION_HELP:
			fputs(help, stdout);
			return EXIT_SUCCESS;
		case OPTION_VERSION:
			puts("cml-ca " TA_CML_VERSION);
			return EXIT_SUCCESS;
		case OPTION_SOCKET:
			options.socket = optarg;
			break;
		case OPTION_SHARE:
			options.share = optarg;
			break;
		case OPTION_VAULT:
			options.vault = optarg;
			break;
		default:
			/* getopt has said what is wrong. */
			return usage("wrong option", "");
		}
	if (optind == argc)
		return usage("no command", "");
	if (optind + 1 < argc)
		return usage("too many words: ", argv[optind + 1]);

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(commands[i].name, argv[optind]))
			return commands[i].run(&options);

	return usage("no such command: ", argv[optind]);
}
