/*
 * Text in columns: cells are filled row by row, then printed aligned by display width. Errors stick, as in
 * struct str.
 */
#pragma once

#include "sim/base/str.h"
#include "sim/base/vec.h"

#include <stdbool.h>
#include <stdint.h>

#define GRID_COLUMNS_MAX 16

/* How a cell looks; plain without colours. */
enum grid_style { GRID_PLAIN, GRID_HEAD, GRID_GOOD, GRID_BAD, GRID_DIM };

struct grid_cell {
    size_t at; /* into texts */
    enum grid_style style;
};

struct grid {
    uint32_t columns;
    uint32_t left; /* a bit for each column that is aligned to the left; the others to the right */
    struct str texts;
    VEC(struct grid_cell) cells;
    int error;
};

/* `left`: bit i for column i. Asserts 1 … GRID_COLUMNS_MAX columns. */
void grid_init(struct grid *g, uint32_t columns, uint32_t left);
void grid_deinit(struct grid *g);

/* The next cell: append its text to what is returned, then grid_close(). */
struct str *grid_open(struct grid *g, enum grid_style style);
void grid_close(struct grid *g);

/* The next cell with this text, made safe to print. */
void grid_text(struct grid *g, enum grid_style style, const char *text);
/* Cells of a row of heads, `columns` of them. */
void grid_heads(struct grid *g, const char *const *heads);

/* Appends the rows, each indented by two blanks. Asserts that the last row is complete. 0, or the first
 * error. */
int grid_print(const struct grid *g, bool colour, struct str *out);

/* The escape sequences around text of a style, "" without colours. */
const char *grid_style_on(enum grid_style style, bool colour);
const char *grid_style_off(enum grid_style style, bool colour);
