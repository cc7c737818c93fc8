#include "sim/policy/gate.h"

#include "sim/base/panic.h"

void gate_init(struct gate *g, uint32_t width, uint32_t queue_max)
{
    *g = (struct gate){.width = width ? width : 1, .queue_max = queue_max};
    list_init(&g->queue);
}

enum gate_outcome gate_enter(struct gate *g, struct ticket *t)
{
    ASSERT(t->state == TICKET_OUT);
    if (g->inside < g->width) {
        g->inside++;
        t->state = TICKET_INSIDE;
        return GATE_IN;
    }
    if (g->waiting == g->queue_max) return GATE_E_FULL;
    list_push_back(&g->queue, &t->link);
    g->waiting++;
    t->state = TICKET_WAITING;
    return GATE_E_WAITS;
}

static struct ticket *let_in(struct gate *g)
{
    struct list *link = list_pop_front(&g->queue);
    struct ticket *t;

    if (!link) return NULL;
    t = container_of(link, struct ticket, link);
    g->waiting--;
    g->inside++;
    t->state = TICKET_INSIDE;
    return t;
}

struct ticket *gate_leave(struct gate *g, struct ticket *t)
{
    enum ticket_state was = t->state;

    ASSERT(was != TICKET_OUT);
    t->state = TICKET_OUT;
    if (was == TICKET_WAITING) {
        list_remove(&t->link);
        g->waiting--;
        return NULL;
    }
    g->inside--;
    return let_in(g);
}
