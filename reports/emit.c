#include "reports/emit.h"

#include "reports/objectives.h"
#include "sim/base/panic.h"

#include <string.h>

static void line(struct emit *j)
{
    str_putc(j->out, '\n');
    for (uint32_t i = 0; i < j->depth; i++) str_puts(j->out, "  ");
}

/* What comes before a value: comma, line break, key. */
static void before(struct emit *j, const char *key)
{
    __typeof__(&j->levels[0]) level = &j->levels[j->depth - 1];

    ASSERT(j->depth > 0 && !key == (level->close == ']'));
    if (level->used) str_putc(j->out, ',');
    if (!level->flat)
        line(j);
    else if (level->used)
        str_putc(j->out, ' ');
    level->used = true;
    if (!key) return;
    str_append_json(j->out, key, strlen(key));
    str_puts(j->out, ": ");
}

static void open_level(struct emit *j, char open, char close, bool flat)
{
    ASSERT(j->depth < EMIT_DEPTH_MAX);
    str_putc(j->out, open);
    j->levels[j->depth].close = close;
    j->levels[j->depth].flat = flat;
    j->levels[j->depth].used = false;
    j->depth++;
}

void emit_start(struct emit *j, struct str *out)
{
    *j = (struct emit){.out = out};
    open_level(j, '{', '}', false);
}

int emit_finish(struct emit *j)
{
    emit_end(j);
    ASSERT(j->depth == 0);
    str_putc(j->out, '\n');
    return str_error(j->out);
}

void emit_object(struct emit *j, const char *key, bool flat)
{
    before(j, key);
    open_level(j, '{', '}', flat);
}

void emit_list(struct emit *j, const char *key, bool flat)
{
    before(j, key);
    open_level(j, '[', ']', flat);
}

void emit_end(struct emit *j)
{
    ASSERT(j->depth > 0);
    j->depth--;
    if (j->levels[j->depth].used && !j->levels[j->depth].flat) line(j);
    str_putc(j->out, j->levels[j->depth].close);
}

void emit_u64(struct emit *j, const char *key, uint64_t value)
{
    before(j, key);
    str_put_u64(j->out, value);
}

void emit_figure(struct emit *j, const char *key, uint64_t value)
{
    before(j, key);
    if (value == FIGURE_NONE)
        str_puts(j->out, "null");
    else
        str_put_u64(j->out, value);
}

void emit_bool(struct emit *j, const char *key, bool value)
{
    before(j, key);
    str_puts(j->out, value ? "true" : "false");
}

void emit_text(struct emit *j, const char *key, const char *text)
{
    before(j, key);
    if (text)
        str_append_json(j->out, text, strlen(text));
    else
        str_puts(j->out, "null");
}
