#include "reports/progress.h"

#include "reports/human.h"

#include <string.h>

#define COLUMNS_DEFAULT 80

bool progress_mode_of(const char *word, bool is_terminal, enum progress_mode *ret_mode)
{
    if (!word || strcmp(word, "auto") == 0)
        *ret_mode = is_terminal ? PROGRESS_REWRITE : PROGRESS_PLAIN;
    else if (strcmp(word, "plain") == 0)
        *ret_mode = PROGRESS_PLAIN;
    else if (strcmp(word, "json") == 0)
        *ret_mode = PROGRESS_JSON;
    else if (strcmp(word, "none") == 0)
        *ret_mode = PROGRESS_NONE;
    else
        return false;
    return true;
}

nsec_t progress_period(enum progress_mode mode)
{
    static const nsec_t periods[] = {NSEC_MAX, 200 * NSEC_PER_MS, 5 * NSEC_PER_S, NSEC_PER_S};

    return periods[mode];
}

static unsigned percent_of(const struct progress_figures *f)
{
    nsec_t now = nsec_min(f->now_ns, f->end_ns);

    if (f->done || f->end_ns == 0) return f->done ? 100 : 0;
    return (unsigned)((unsigned __int128)now * 100 / f->end_ns);
}

nsec_t progress_remaining(const struct progress_figures *f)
{
    unsigned __int128 left;

    if (f->done) return 0;
    if (percent_of(f) < 1) return NSEC_MAX;
    left = (unsigned __int128)f->elapsed_ns * nsec_sub0(f->end_ns, f->now_ns) / f->now_ns;
    return left < NSEC_MAX ? (nsec_t)left : NSEC_MAX;
}

static void figures_text(const struct progress_figures *f, struct str *out)
{
    nsec_t remaining = progress_remaining(f);

    if (f->steps > 1) str_appendf(out, "[%u/%u] ", (unsigned)f->step + 1, (unsigned)f->steps);
    human_text(out, f->deployment, 32);
    if (f->replicates > 1) str_appendf(out, " replicate %u", (unsigned)f->replicate);
    if (f->verifying) str_puts(out, " verify");
    str_appendf(out, "  %3u%%  at ", percent_of(f));
    human_duration(out, f->now_ns);
    str_puts(out, " of ");
    human_duration(out, f->end_ns);
    if (f->done) {
        str_puts(out, "  done in ");
        human_duration(out, f->elapsed_ns);
    } else if (remaining != NSEC_MAX) {
        str_puts(out, "  at most ");
        human_duration(out, remaining);
        str_puts(out, " left");
    }
    if (f->verifying) return;
    str_puts(out, "  sessions ");
    human_count(out, f->sessions_ended);
    str_putc(out, '/');
    human_count(out, f->sessions_opened);
    str_puts(out, "  calls ");
    human_count(out, f->calls_ended);
}

static void json_line(const struct progress_figures *f, struct str *out)
{
    nsec_t remaining = progress_remaining(f);

    str_puts(out, "{\"deployment\": ");
    str_append_json(out, f->deployment, strlen(f->deployment));
    str_appendf(out, ", \"replicate\": %u, \"step\": %u, \"steps\": %u", (unsigned)f->replicate,
                (unsigned)f->step, (unsigned)f->steps);
    str_appendf(out, ", \"percent\": %u, \"now_ns\": %llu, \"end_ns\": %llu, \"elapsed_ns\": %llu",
                percent_of(f), (unsigned long long)f->now_ns, (unsigned long long)f->end_ns,
                (unsigned long long)f->elapsed_ns);
    str_puts(out, ", \"remaining_ns\": ");
    if (remaining == NSEC_MAX)
        str_puts(out, "null");
    else
        str_put_u64(out, remaining);
    str_appendf(
        out, ", \"sessions_opened\": %llu, \"sessions_ended\": %llu, \"calls_ended\": %llu, \"done\": %s}\n",
        (unsigned long long)f->sessions_opened, (unsigned long long)f->sessions_ended,
        (unsigned long long)f->calls_ended, f->done ? "true" : "false");
}

int progress_line(enum progress_mode mode, const struct progress_figures *f, uint32_t columns,
                  struct str *out)
{
    CLEANUP(str_deinit) struct str line = STR_INIT(4096);

    if (mode == PROGRESS_NONE) return str_error(out);
    if (mode == PROGRESS_JSON) {
        json_line(f, out);
        return str_error(out);
    }
    figures_text(f, &line);
    if (str_error(&line)) return str_error(&line);
    if (mode == PROGRESS_PLAIN) return str_appendf(out, "%s\n", str_text(&line));
    /* One column stays free: some terminals wrap when the last one is written. */
    str_puts(out, progress_clear(mode));
    human_text(out, str_text(&line), (columns ? columns : COLUMNS_DEFAULT) - (columns != 1));
    if (f->done) str_putc(out, '\n');
    return str_error(out);
}

const char *progress_clear(enum progress_mode mode)
{
    return mode == PROGRESS_REWRITE ? "\r\033[K" : "";
}
