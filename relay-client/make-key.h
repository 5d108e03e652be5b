/* `vestibule-relay-client --make-key DIRECTORY`: the second duty of the program, without a gateway.
 */
#pragma once

/* Lines for --help. */
extern const char make_key_help[];

/* Acts when --make-key is among the arguments and returns an exit status; -1 when it is not. */
int make_key_option(int argc, char **argv);
