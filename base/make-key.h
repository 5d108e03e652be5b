/* `PROGRAM --make-key DIRECTORY`: a second duty, without a gateway, of each program that opens what
 * others sealed to it. It writes the private and the public file of key-file.h, and says where they
 * are to be installed and who else must be told. */
#pragma once

/* What is made, and for whom. All texts are static. */
typedef struct MakeKey {
        const char *program;      /* that opens, such as vestibule-relay-client */
        const char *sealer;       /* the program that seals */
        const char *private_name; /* of the file and of the credential; at most 32 bytes */
        const char *public_name;
        const char *private_installed; /* the file in /etc/credstore, and what NAME means there */
        const char *public_installed;
        const char *signer_use; /* what tenants need the signer's public key for, or NULL */
} MakeKey;

/* Lines for --help; the arguments are string literals. */
#define MAKE_KEY_HELP(private_name, public_name)                                               \
        "\n"                                                                                   \
        "  --make-key DIRECTORY      make " private_name " (secret) and " public_name          \
        " there, and end\n"                                                                    \
        "    --days N                seal nothing to the key after N days (default 365)\n"     \
        "    --add                   keep the previous key for what is sealed to it already\n" \
        "    --force                 overwrite: what was sealed to the old keys is lost\n"

/* Acts when --make-key is among the arguments and returns an exit status; -1 when it is not. */
int make_key_option(const MakeKey *what, int argc, char **argv);
