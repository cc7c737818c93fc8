/*
 * The option table: every key of a scenario, once, with its type, unit, range, default and meaning. Parsing,
 * the resolved document, the JSON Schema and the reference page all come from it.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/plan/plan.h"

enum option_type {
    OPTION_DURATION,  /* "300ms": nsec_t */
    OPTION_COUNT,     /* a plain whole number */
    OPTION_SIZE,      /* "64KiB", or a plain number of bytes */
    OPTION_RATE,      /* "8/s": one struct rate_knot at 0, and the count (1) at count_offset */
    OPTION_BANDWIDTH, /* "100MB/s", "unlimited" = 0 */
    OPTION_SHARE,     /* "0.5%": ppm */
    OPTION_PRICE,     /* "$0.0000142": nanodollars */
    OPTION_DURATIONS, /* a distribution of durations: struct dist */
    OPTION_COUNTS,    /* a distribution of counts: struct dist */
    OPTION_STRING,    /* const char *; min and max are bytes */
    OPTION_STRINGS,   /* an array of them: const char **, and the count at count_offset; min and max are
                         elements */
    OPTION_BOOL,
    OPTION_WORD,      /* one of `words`: an enum of 4 bytes, the index of the word */
    OPTION_WORDS,     /* an array of `words`: bools, one for each word */
    OPTION_REFERENCE, /* the name of an element of the map `of`: its index */
    OPTION_SPAN,      /* ["1s", "3s"]: two nsec_t, in order */
    OPTION_KNOTS,     /* [["0s", "1/s"], …]: struct rate_knot *, and the count at count_offset */
    OPTION_TABLE,     /* an object with the keys of `table` */
    OPTION_MAP,       /* an object of any names, each a `table`: an array, and the count at count_offset */
    OPTION_LIST,      /* an array of `table` */
    OPTION_PATCH,     /* any object: a merge patch; not stored */
};

#define OPTION_NOT_STORED SIZE_MAX

struct option_table;

struct option {
    const char *key;
    enum option_type type;
    size_t width;             /* bytes in the plan; of a number: 4 or 8 */
    size_t offset;            /* in the struct of the table that the option stands in */
    size_t count_offset;      /* uint32_t */
    uint64_t min, max;        /* in the unit of the plan; for MAP, LIST, …: of elements */
    const char *fallback;     /* the default, as JSON; OPTION_REQUIRED; or OPTION_ABSENT: may be left out */
    const char *const *words; /* ends with NULL; "" is no word but takes an index */
    const char *of;
    const struct option_table *table;
    const char *help;
};

#define OPTION_REQUIRED NULL
#define OPTION_ABSENT   ""

enum name_rule {
    NAME_ANY,    /* a letter or digit, then letters, digits, '.', '_', '-'; at most 64 */
    NAME_LABEL,  /* part of a host name: a-z, 0-9, '-' inside; at most 32 */
    NAME_FOLDER, /* as ANY, but not "all": deployments */
};

struct context;

struct option_table {
    const struct option *options;
    size_t count;
    size_t size;        /* MAP, LIST: of one element in memory */
    size_t name_offset; /* MAP: where the name goes (const char *), or OPTION_NOT_STORED */
    enum name_rule names;
    /* May add keys before the element is read: a new reference to it or to a changed copy; NULL is out of
     * memory. */
    json_t *(*prepare)(json_t *in);
    /* Looks at what the single options cannot say, and may rework the element; NULL: nothing to do. `in` is
     * the object as given, without defaults. The context's pointer is the element's. */
    int (*finish)(struct context *c, json_t *in, void *element);
};

/* What a scenario is parsed into, before references and targets are expanded. */
struct fault_draft {
    struct plan_fault fault;
    const char *target; /* NULL: none given */
};

struct deployment_draft {
    const char *name, *about;
    bool informational;
};

struct draft {
    struct plan plan;
    const char *schema, *editor_schema;
    struct fault_draft *faults;
    uint32_t fault_count;
    const char **objectives;
    uint32_t objective_count;
    struct deployment_draft *deployments;
    uint32_t deployment_count;
};

/* The whole document: its struct is struct draft. */
extern const struct option_table scenario_table;

/* What may stand there, in words: "a duration such as \"300ms\"". */
const char *option_type_words(enum option_type type);
