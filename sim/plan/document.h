/*
 * The JSON document behind a plan: reading it, changing it (--set), merging a deployment into it, and finding
 * where a value came from.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "sim/plan/parse.h"
#include "sim/plan/pointer.h"

struct document {
    const struct plan_load_options *options;
    const char *name; /* of the file, for errors */
    char *text;
    size_t length;
    json_t *root;        /* after --set */
    char **set_pointers; /* where each --set put its value: as given, but for "-", which is a number here */
    const char *deployment; /* merged in, or NULL; a key of the root */
};

DEFINE_CLEANUP(json_t *, json_decref)

/* Reads and parses the file or text and applies the sets. The options must outlive the document. */
int document_init(struct document *doc, const struct plan_load_options *options,
                  struct plan_error *ret_error);
void document_deinit(struct document *doc);

/* The first deployment, the one called `wanted`, or "default" where the document has none; NULL when there is
 * no such. Borrowed from the document. */
const char *document_deployment(const struct document *doc, const char *wanted);

/* The root with the merge patch of `deployment` applied (RFC 7386); a new reference. Later errors are looked
 * for in the patch first. NULL when out of memory. */
json_t *document_merge(struct document *doc, const char *deployment);

/* Writes an error about the value (or its key) at `pointer` of the merged document. Returns PLAN_E_INVALID.
 */
int document_error(const struct document *doc, const char *pointer, bool key, const char *what,
                   struct plan_error *ret_error);

/* The last --set that gave the value at `pointer` of the merged document, or what is around it; NULL when
 * none did. Borrowed from the options. */
const char *document_set_of(const struct document *doc, const char *pointer);
/* Writes an error about the value at `pointer`, as one of that --set. Returns PLAN_E_INVALID. */
int document_set_error(const char *set, const char *pointer, const char *what, struct plan_error *ret_error);

/* Reads a whole file of at most `limit` bytes; a NUL is added. -EFBIG when it is larger, or another -errno.
 */
int file_read(const char *path, size_t limit, char **ret_text, size_t *ret_length);
