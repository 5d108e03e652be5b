/* Reading JSON from strangers: a depth limit of our own (jansson's is 2,048), no repeated members,
 * no NUL, strict UTF-8, one value and nothing after it; then members by table, unknown ones by
 * name. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum JsonError {
        JSON_E_SYNTAX = 1,  /* not JSON, not UTF-8, a NUL, a repeated member, or bytes after it */
        JSON_E_DEPTH = 2,   /* nested deeper than allowed */
        JSON_E_UNKNOWN = 3, /* a member that is not in the table */
        JSON_E_MISSING = 4, /* a required member is absent */
        JSON_E_TYPE = 5,    /* a member has another type than the table says */
        JSON_E_RANGE = 6,   /* a string's length or a number is out of bounds */
} JsonError;

/* What JSON_E_SYNTAX was. */
typedef enum JsonSyntax {
        JSON_SYNTAX_OTHER,
        JSON_SYNTAX_UTF8,     /* bytes that are no UTF-8 */
        JSON_SYNTAX_REPEATED, /* a member that the object has already */
} JsonSyntax;

typedef struct JsonProblem {
        JsonError error;
        JsonSyntax syntax;
        char member[64]; /* the member concerned, or empty; cut to fit, printable ASCII only */
        char text[160];  /* a sentence fit for the sender of the bytes */
} JsonProblem;

typedef enum JsonKind {
        JSON_KIND_STRING,  /* const char *, borrowed from the object */
        JSON_KIND_INTEGER, /* int64_t */
        JSON_KIND_BOOLEAN, /* bool */
        JSON_KIND_OBJECT,  /* const json_t *, borrowed */
        JSON_KIND_ARRAY,   /* const json_t *, borrowed */
        JSON_KIND_ANY,     /* const json_t *, borrowed */
} JsonKind;

typedef struct JsonMember {
        const char *name;
        JsonKind kind;
        size_t offset;    /* of the field in the caller's struct; untouched when absent */
        bool required;    /* null counts as absent */
        int64_t min, max; /* bytes of a string, elements of an array, or the number; 0, 0 = any */
} JsonMember;

/* Parses bytes. 0: *ret is the caller's. JSON_E_SYNTAX, JSON_E_DEPTH. -ENOMEM. */
int json_read(const void *data,
                size_t size,
                unsigned max_depth,
                json_t **ret,
                JsonProblem *ret_problem);

/* Reads an object's members into the struct at ret. With refuse_unknown, members that the table
 * does not name are JSON_E_UNKNOWN; otherwise they are ignored. Positive JsonError with
 * ret_problem. */
int json_read_members(const json_t *object,
                const JsonMember *members,
                size_t n_members,
                bool refuse_unknown,
                void *ret,
                JsonProblem *ret_problem);
