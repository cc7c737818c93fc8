#include "reports/grid.h"

#include "reports/human.h"
#include "sim/base/panic.h"

#include <string.h>

#define GRID_TEXT_BYTES (64u << 20)
#define GRID_CELLS_MAX  1000000u
#define GRID_GAP        2

void grid_init(struct grid *g, uint32_t columns, uint32_t left)
{
    ASSERT(columns >= 1 && columns <= GRID_COLUMNS_MAX);
    *g = (struct grid){.columns = columns, .left = left};
    str_init(&g->texts, GRID_TEXT_BYTES);
    vec_init(&g->cells, GRID_CELLS_MAX);
}

void grid_deinit(struct grid *g)
{
    str_deinit(&g->texts);
    vec_deinit(&g->cells);
}

struct str *grid_open(struct grid *g, enum grid_style style)
{
    int r = vec_push(&g->cells, (struct grid_cell){str_len(&g->texts), style});

    if (r < 0 && !g->error) g->error = r;
    return &g->texts;
}

void grid_close(struct grid *g)
{
    str_putc(&g->texts, '\0');
}

void grid_text(struct grid *g, enum grid_style style, const char *text)
{
    human_text(grid_open(g, style), text, 0);
    grid_close(g);
}

void grid_heads(struct grid *g, const char *const *heads)
{
    for (uint32_t i = 0; i < g->columns; i++) grid_text(g, GRID_HEAD, heads[i]);
}

const char *grid_style_on(enum grid_style style, bool colour)
{
    static const char *const on[] = {"", "\033[1m", "\033[32m", "\033[1;31m", "\033[2m"};

    return colour ? on[style] : "";
}

const char *grid_style_off(enum grid_style style, bool colour)
{
    return colour && style != GRID_PLAIN ? "\033[0m" : "";
}

static const char *cell_text(const struct grid *g, size_t i)
{
    return str_text(&g->texts) + g->cells.items[i].at;
}

static void blanks(struct str *out, size_t n)
{
    while (n-- > 0) str_putc(out, ' ');
}

static void print_cell(const struct grid *g, size_t i, size_t width, bool colour, struct str *out)
{
    uint32_t column = (uint32_t)(i % g->columns);
    const char *text = cell_text(g, i);
    enum grid_style style = g->cells.items[i].style;
    size_t fill = width - human_width(text);
    bool left = g->left & (1u << column), last = column + 1 == g->columns;

    if (!left) blanks(out, fill);
    if (text[0])
        str_appendf(out, "%s%s%s", grid_style_on(style, colour), text, grid_style_off(style, colour));
    if (left && !last) blanks(out, fill);
    if (!last) blanks(out, GRID_GAP);
}

int grid_print(const struct grid *g, bool colour, struct str *out)
{
    size_t widths[GRID_COLUMNS_MAX] = {0};

    if (g->error) return g->error;
    if (str_error(&g->texts)) return str_error(&g->texts);
    ASSERT(g->cells.len % g->columns == 0);
    for (size_t i = 0; i < g->cells.len; i++) {
        size_t width = human_width(cell_text(g, i));

        if (width > widths[i % g->columns]) widths[i % g->columns] = width;
    }
    for (size_t i = 0; i < g->cells.len; i++) {
        if (i % g->columns == 0) str_puts(out, "  ");
        print_cell(g, i, widths[i % g->columns], colour, out);
        if ((i + 1) % g->columns != 0) continue;
        while (out->len > 0 && out->data[out->len - 1] == ' ' && !str_error(out))
            out->data[--out->len] = '\0';
        str_putc(out, '\n');
    }
    return str_error(out);
}
